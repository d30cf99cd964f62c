"""Files that a training of CLOC leaves behind: the prompter and, where it was trained too, the CLIP that it belongs to.

Both are safetensors in the precision of the training. The prompter names its encoder by the hash of the encoder's file,
so the pair loads as ``dict(type="prompter", encoder=dict(type="clip", weights="…/clip.safetensors", arch="…"),
prompter="…/prompter.safetensors")``, and no other pair does.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from safetensors.torch import save_file
from torch import Tensor

from densevl.core.errors import WeightsError
from densevl.core.files import atomic_write
from densevl.regions.embedders.prompted import save_prompter
from densevl.regions.embedders.prompter import Prompter
from densevl.training.checkpoints import check_finite, read_checkpoint, unwrapped, weights_under
from densevl.weights.opened import OpenedWeights

__all__ = ["ExportCloc", "export_cloc"]

CLIP_PREFIX, PROMPTER_PREFIX = "clip.", "prompter."


def export_cloc(checkpoint: str | Path, folder: str | Path) -> None:
    """Write ``prompter.safetensors`` and, where the CLIP was trained, ``clip.safetensors`` from a checkpoint.

    Raises:
        WeightsError: where the checkpoint cannot be read, is not one of ``ClocTraining``, or
            holds values that are not finite.
        OutputError: where a file cannot be written.
    """
    content = read_checkpoint(checkpoint)
    about = content.get("cloc")
    if about is None:
        raise WeightsError(
            f"{checkpoint} does not say which encoder its prompter reads; it should come from a training of "
            "ClocTraining with the hook ExportCloc, as in configs/cloc_train_scenes.py"
        )
    prompter = Prompter(**about["prompter"])
    prompter.load_state_dict(weights_under(content, PROMPTER_PREFIX))
    _write(prompter, content["state_dict"], about["encoder"], Path(folder))


def _write(prompter: Any, state: Mapping[str, Tensor], encoder_id: str, folder: Path) -> None:
    check_finite(state, "the checkpoint")
    if clip := weights_under(state, CLIP_PREFIX):
        path = folder / "clip.safetensors"
        weights = {name: value.detach().contiguous().cpu() for name, value in clip.items()}
        with atomic_write(path) as temporary:
            save_file(weights, temporary, metadata={"format": "pt"})
        encoder_id = OpenedWeights(Path(path), None).identity(encoder_id.partition("@")[0])
    save_prompter(prompter, folder / "prompter.safetensors", encoder_id)


@HOOKS.register_module()
class ExportCloc(Hook):
    """Names encoder and prompter in every checkpoint, and writes the files when the training is done."""

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Add what :func:`export_cloc` needs."""
        model = unwrapped(runner)
        checkpoint["cloc"] = {"encoder": model.encoder.model_id, "prompter": model.prompter.settings}

    @master_only
    def after_train(self, runner: Any) -> None:
        """Write the files into the work folder."""
        model, folder = unwrapped(runner), Path(runner.work_dir)
        _write(model.prompter, model.state_dict(), model.encoder.model_id, folder)
        runner.logger.info(f"the prompter is {folder / 'prompter.safetensors'}")
        if not model.frozen:
            runner.logger.info(f"its encoder is {folder / 'clip.safetensors'}")
