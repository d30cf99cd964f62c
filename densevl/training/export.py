"""Turns training checkpoints into weights for inference.

    python -m densevl.training.export work_dirs/clip_tune_scenes/iter_1400.pth mini.safetensors
    python -m densevl.training.export work_dirs/mini-tok/iter_300.pth tok.safetensors
    python -m densevl.training.export work_dirs/sam_train_scenes/iter_1500.pth sam.safetensors
    python -m densevl.training.export work_dirs/dinoiser_train/epoch_100.pth heads.safetensors
    python -m densevl.training.export work_dirs/cloc_tune_scenes/iter_400.pth FOLDER

A mini CLIP, another mini encoder or a mini SAM becomes safetensors in half precision; an encoder whose texts are those
of its teacher leaves them to the teacher's file. The heads of CLIP-DINOiser become safetensors that name their encoder
and the map that they read or, where the target ends in ``.pt`` or ``.pth``, the layout of the published checkpoint. A
prompter of CLOC goes into a folder, beside its CLIP where that was trained too (:mod:`densevl.training.cloc.export`).
"""

import argparse
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from safetensors.torch import save_file

from densevl.core.errors import DensevlError, UsageError, WeightsError
from densevl.core.files import atomic_write
from densevl.dense.refiners.dinoiser import DinoiserRefiner
from densevl.dense.refiners.dinoiser_weights import save_heads, sub_patch_of
from densevl.training.checkpoints import check_finite, read_checkpoint, unwrapped, weights_under
from densevl.training.cloc.export import PROMPTER_PREFIX, export_cloc

__all__ = ["ExportHeads", "export", "export_half", "export_heads", "write_heads"]

CLIP_PREFIX, ENCODER_PREFIX, HEADS_PREFIX, SAM_PREFIX = "clip.", "encoder.", "heads.", "sam."
RECIPES = {
    CLIP_PREFIX: "configs/clip_train_scenes.py, configs/clip_tune_scenes.py",
    ENCODER_PREFIX: "configs/encoder_train_scenes.py",
    SAM_PREFIX: "configs/sam_train_scenes.py",
}
"""The configs whose checkpoints hold a model under a prefix; files of its weights name them."""


def export_half(checkpoint: str | Path, target: str | Path, prefix: str) -> None:
    """Write a model inside a checkpoint in half precision: the mini CLIP, another mini encoder, or the mini SAM.

    Args:
        checkpoint: of a training of ``ContrastiveCLIP``, ``DistilledEncoder`` or ``PromptedSam``.
        target: the file; an existing one is replaced, whole.
        prefix: of the names of the model's weights, one of :data:`RECIPES`.

    Raises:
        WeightsError: where the checkpoint cannot be read, has no such weights, or some are not finite in half
            precision.
        OutputError: where the target cannot be written.
    """
    weights = weights_under(read_checkpoint(checkpoint), prefix)
    if not weights:
        raise WeightsError(f"{checkpoint} holds no weights to export: no name begins with {prefix!r}")
    counters = {name for name in weights if name.endswith("num_batches_tracked")}  # which inference does not read
    halves = {name: value.to(torch.float16).contiguous() for name, value in weights.items() if name not in counters}
    check_finite(halves, checkpoint)
    with atomic_write(Path(target)) as temporary:
        save_file(halves, temporary, metadata={"format": "pt", "recipe": RECIPES[prefix]})


def export_heads(checkpoint: str | Path, target: str | Path) -> None:
    """Write the heads of a checkpoint of :class:`DinoiserTraining`, as :func:`write_heads` does.

    Raises:
        WeightsError: where the checkpoint cannot be read, holds no heads or does not name their encoder.
        OutputError: where the target cannot be written.
    """
    content = read_checkpoint(checkpoint)
    state, about = weights_under(content, HEADS_PREFIX), content.get("heads")
    if "obj_proj.weight" not in state or about is None:
        raise WeightsError(
            f"{checkpoint} holds no heads with the name of their encoder; it should come from a training of "
            "DinoiserTraining with the hook ExportHeads, as in configs/dinoiser_train.py"
        )
    check_finite(state, checkpoint)
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
        DensevlError: as :func:`export_heads`, :func:`export_half` and
            :func:`densevl.training.cloc.export.export_cloc`.
    """
    content = read_checkpoint(checkpoint)
    if weights_under(content, HEADS_PREFIX):
        export_heads(checkpoint, target)
    elif weights_under(content, PROMPTER_PREFIX):
        export_cloc(checkpoint, target)
    else:
        found = (prefix for prefix in RECIPES if weights_under(content, prefix))
        export_half(checkpoint, target, next(found, CLIP_PREFIX))


@HOOKS.register_module()
class ExportHeads(Hook):
    """Names the encoder in every checkpoint of the heads, and writes the heads when the training is done.

    ``heads.safetensors`` and ``last.pt`` (the published layout) then lie in the work folder.
    """

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Add what :func:`export_heads` needs."""
        heads = unwrapped(runner).heads
        checkpoint["heads"] = {"encoder": heads.encoder_id, "layer": heads.layer}

    @master_only
    def after_train(self, runner: Any) -> None:
        """Write both files."""
        for name in ("heads.safetensors", "last.pt"):
            write_heads(unwrapped(runner).heads, Path(runner.work_dir) / name, runner.epoch)
        runner.logger.info(f"the heads are {Path(runner.work_dir) / 'heads.safetensors'}")


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
