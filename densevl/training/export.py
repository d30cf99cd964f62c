"""Turns a training checkpoint of the mini CLIP into the weights that densevl ships: half precision, safetensors.

python -m densevl.training.export work_dirs/clip_tune_scenes/iter_1400.pth mini.safetensors
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from densevl.errors import WeightsError
from densevl.files import atomic_write
from densevl.training.checkpoints import read_checkpoint

__all__ = ["clip_weights", "export_clip"]

PREFIX = "clip."


def clip_weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of the open_clip model inside a :class:`ContrastiveCLIP`, in half precision.

    Raises:
        WeightsError: where there are none, or some are not finite in half precision.
    """
    weights = {
        name.removeprefix(PREFIX): value.to(torch.float16).contiguous()
        for name, value in state.items()
        if name.startswith(PREFIX)
    }
    broken = [name for name, value in weights.items() if not value.isfinite().all()]
    if not weights or broken:
        raise WeightsError(f"no usable CLIP weights: {broken or 'no name'} begins with {PREFIX!r} and is finite")
    return weights


def export_clip(checkpoint: str | Path, target: str | Path) -> None:
    """Write the CLIP weights of a checkpoint, atomically.

    Raises:
        WeightsError: where the checkpoint cannot be read or holds no CLIP.
        OutputError: where the target cannot be written.
    """
    content = read_checkpoint(checkpoint)
    weights = clip_weights(content.get("state_dict", content))
    with atomic_write(Path(target)) as temporary:
        save_file(
            weights,
            temporary,
            metadata={"format": "pt", "recipe": "configs/clip_train_scenes.py, configs/clip_tune_scenes.py"},
        )


def main() -> None:
    parser = argparse.ArgumentParser(description="Export a checkpoint of the mini CLIP.")
    parser.add_argument("checkpoint")
    parser.add_argument("target")
    args = parser.parse_args()
    export_clip(args.checkpoint, args.target)


if __name__ == "__main__":
    main()
