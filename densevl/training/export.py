"""Turns training checkpoints into weights for inference.

    python -m densevl.training.export work_dirs/clip_tune_scenes/iter_1400.pth mini.safetensors
    python -m densevl.training.export work_dirs/sam_train_scenes/iter_1500.pth sam.safetensors
    python -m densevl.training.export work_dirs/dinoiser_train/epoch_100.pth heads.safetensors
    python -m densevl.training.export work_dirs/cloc_tune_scenes/iter_400.pth FOLDER

A mini CLIP or a mini SAM becomes safetensors in half precision. The heads of CLIP-DINOiser become safetensors that name
their encoder and the map that they read or, where the target ends in ``.pt`` or ``.pth``, the layout of the published
checkpoint. A prompter of CLOC goes into a folder, beside its CLIP where that was trained too
(:mod:`densevl.training.cloc.export`).
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from safetensors.torch import save_file
from torch import Tensor

from densevl.core.errors import DensevlError, UsageError, WeightsError
from densevl.core.files import atomic_write
from densevl.dense.refiners.dinoiser import DinoiserRefiner
from densevl.dense.refiners.dinoiser_weights import save_heads, sub_patch_of
from densevl.training.checkpoints import read_checkpoint
from densevl.training.cloc.export import PROMPTER_PREFIX, export_cloc

__all__ = [
    "ExportHeads",
    "clip_weights",
    "export",
    "export_clip",
    "export_heads",
    "export_sam",
    "sam_weights",
    "write_heads",
]

CLIP_PREFIX, HEADS_PREFIX, SAM_PREFIX = "clip.", "heads.", "sam."


def clip_weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of the open_clip model inside a :class:`ContrastiveCLIP`, in half precision.

    Raises:
        WeightsError: where there are none, or some are not finite in half precision.
    """
    return _half(state, CLIP_PREFIX)


def sam_weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of the model of segment_anything inside a :class:`PromptedSam`, in half precision.

    Raises:
        WeightsError: where there are none, or some are not finite in half precision.
    """
    return _half(state, SAM_PREFIX)


def _half(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    weights = {name: value.to(torch.float16).contiguous() for name, value in _part(state, prefix).items()}
    broken = [name for name, value in weights.items() if not value.isfinite().all()]
    if not weights or broken:
        raise WeightsError(f"no usable weights: {broken or 'no name'} begins with {prefix!r} and is finite")
    return weights


def export_clip(checkpoint: str | Path, target: str | Path) -> None:
    """Write the CLIP weights of a checkpoint, atomically.

    Raises:
        WeightsError: where the checkpoint cannot be read or holds no CLIP.
        OutputError: where the target cannot be written.
    """
    weights = clip_weights(_state(read_checkpoint(checkpoint)))
    _save(weights, target, "configs/clip_train_scenes.py, configs/clip_tune_scenes.py")


def export_sam(checkpoint: str | Path, target: str | Path) -> None:
    """Write the SAM weights of a checkpoint, atomically.

    Raises:
        WeightsError: where the checkpoint cannot be read or holds no SAM.
        OutputError: where the target cannot be written.
    """
    _save(sam_weights(_state(read_checkpoint(checkpoint))), target, "configs/sam_train_scenes.py")


def _save(weights: dict[str, Tensor], target: str | Path, recipe: str) -> None:
    with atomic_write(Path(target)) as temporary:
        save_file(weights, temporary, metadata={"format": "pt", "recipe": recipe})


def export_heads(checkpoint: str | Path, target: str | Path) -> None:
    """Write the heads of a checkpoint of :class:`DinoiserTraining`, as :func:`write_heads` does.

    Raises:
        WeightsError: where the checkpoint cannot be read, holds no heads or does not name their encoder.
        OutputError: where the target cannot be written.
    """
    content = read_checkpoint(checkpoint)
    state, about = _part(_state(content), HEADS_PREFIX), content.get("heads")
    if "obj_proj.weight" not in state or about is None:
        raise WeightsError(
            f"{checkpoint} holds no heads with the name of their encoder; it should come from a training of "
            "DinoiserTraining with the hook ExportHeads, as in configs/dinoiser_train.py"
        )
    broken = [name for name, value in state.items() if not value.isfinite().all()]
    if broken:
        raise WeightsError(f"{checkpoint} holds NaN or infinite values in {', '.join(broken)}: the training diverged")
    inner, width = state["obj_proj.weight"].shape[:2]
    heads = DinoiserRefiner(width, inner, about["layer"], encoder_id=about["encoder"], sub_patch=sub_patch_of(state))
    heads.load_state_dict(state)
    write_heads(heads, target, content["meta"]["epoch"])


def write_heads(heads: DinoiserRefiner, target: str | Path, epoch: int) -> None:
    """Write heads as safetensors or, where the target ends in ``.pt`` or ``.pth``, in the published layout.

    Args:
        heads: the trained heads.
        target: the file; an existing one is replaced, whole.
        epoch: how many epochs were trained; in the published layout alone.

    Raises:
        UsageError: where the target has another suffix.
        OutputError: where the target cannot be written.
    """
    target = Path(target)
    if target.suffix == ".safetensors":
        save_heads(heads, target)
    elif target.suffix in (".pt", ".pth"):
        state = {name: value.detach().cpu().clone() for name, value in heads.state_dict().items()}
        with atomic_write(target) as temporary:
            torch.save({"epoch": epoch, "model_state_dict": state}, temporary)
    else:
        raise UsageError(f"heads are written as .safetensors, .pt or .pth; got {target}")


def export(checkpoint: str | Path, target: str | Path) -> None:
    """Write what a checkpoint holds: the heads of CLIP-DINOiser, a mini SAM, a prompter of CLOC, or else a mini CLIP.

    Raises:
        DensevlError: as :func:`export_heads`, :func:`export_sam`, :func:`export_clip` and
            :func:`densevl.training.cloc.export.export_cloc`.
    """
    state = _state(read_checkpoint(checkpoint))
    writers = {HEADS_PREFIX: export_heads, SAM_PREFIX: export_sam, PROMPTER_PREFIX: export_cloc}
    for prefix, write in writers.items():
        if _part(state, prefix):
            return write(checkpoint, target)
    return export_clip(checkpoint, target)


@HOOKS.register_module()
class ExportHeads(Hook):
    """Names the encoder in every checkpoint of the heads, and writes the heads when the training is done.

    ``heads.safetensors`` and ``last.pt`` (the published layout) then lie in the work folder.
    """

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Add what :func:`export_heads` needs."""
        heads = _heads(runner)
        checkpoint["heads"] = {"encoder": heads.encoder_id, "layer": heads.layer}

    @master_only
    def after_train(self, runner: Any) -> None:
        """Write both files."""
        for name in ("heads.safetensors", "last.pt"):
            write_heads(_heads(runner), Path(runner.work_dir) / name, runner.epoch)
        runner.logger.info(f"the heads are {Path(runner.work_dir) / 'heads.safetensors'}")


def _heads(runner: Any) -> DinoiserRefiner:
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    return model.heads


def _state(content: Mapping[str, Any]) -> Mapping[str, Tensor]:
    return content.get("state_dict", content)


def _part(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def main() -> None:
    parser = argparse.ArgumentParser(description="Export the weights of a training checkpoint.")
    parser.add_argument("checkpoint")
    parser.add_argument("target")
    args = parser.parse_args()
    try:
        export(args.checkpoint, args.target)
    except DensevlError as error:
        parser.exit(1, f"error: {error}\n")


if __name__ == "__main__":
    main()
