"""Training of CLOC's prompter alone, on a finished CLIP.

Source: see :mod:`densevl.region_embedders.prompter` and :mod:`densevl.training.cloc_losses`. The CLIP is frozen, so
L_CLIP has nothing to teach and is left out; what remains is λ (L_CLOC + L_ground).
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.model import BaseModel, is_model_wrapper
from mmengine.registry import HOOKS, MODELS
from torch import Tensor, nn

from densevl.region_embedders.prompted import save_prompter
from densevl.region_embedders.prompter import Prompter
from densevl.registry import ENCODERS, build
from densevl.training.cloc_losses import cloc_losses, sample_regions

__all__ = ["ExportPrompter", "PrompterTraining"]


@MODELS.register_module()
class PrompterTraining(BaseModel):
    """The prompter with its losses, as MMEngine runs it.

    Parameters, state and checkpoints are those of the prompter alone; the frozen encoder follows it to its device.

    Args:
        encoder: the CLIP encoder whose tokens the prompter shall read, or its config.
        most: M, how many regions of an image take part in a step, drawn at random.
        seed: of the prompter's first weights.
        settings: further arguments of :class:`densevl.region_embedders.prompter.Prompter`.
    """

    def __init__(self, encoder: Any, most: int = 4, seed: int = 0, **settings: Any) -> None:
        super().__init__()
        encoder = build(ENCODERS, encoder)
        # A plain tuple: as a submodule it would be in every checkpoint and in the optimizer.
        self.frozen: tuple[Any] = (encoder.eval().requires_grad_(False),)
        self.most = most
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.prompter = Prompter(encoder.width, encoder.dim, **settings)

    def forward(
        self, images: Sequence[Tensor], boxes: Sequence[Tensor], texts: Sequence[Sequence[str]], mode: str = "loss"
    ) -> dict[str, Tensor]:
        """Losses of a batch.

        Args:
            images: (3, H, W) uint8, padded to one size.
            boxes: of the regions of each image as shares of its padded size, (r, 4); r may be 0.
            texts: of the regions of each image.
            mode: unused; MMEngine passes it.
        """
        encoder, device = self.frozen[0], self.prompter.kinds.device
        chosen = sample_regions([len(some) for some in boxes], self.most)
        boxes = [some[rows].to(device) for some, rows in zip(boxes, chosen, strict=True)]
        words = [some[row] for some, rows in zip(texts, chosen, strict=True) for row in rows.tolist()]
        with torch.no_grad():
            grid = encoder.tokens(torch.stack(tuple(images)).to(device).float() / 255)
            vectors = encoder.embed_texts(words).to(device) if words else grid.new_zeros(0, encoder.dim)
        return self.losses(grid, boxes, vectors)

    def losses(
        self, grid: Float[Tensor, "b c h w"], boxes: Sequence[Float[Tensor, "_ 4"]], texts: Float[Tensor, "r d"]
    ) -> dict[str, Float[Tensor, ""]]:
        """Losses of a batch that is encoded; the texts are those of the boxes, image by image."""
        counts = [len(some) for some in boxes]
        there = torch.arange(max(counts), device=grid.device) < torch.tensor(counts, device=grid.device)[:, None]
        hints = [nn.utils.rnn.pad_sequence(list(part), batch_first=True) for part in (boxes, texts.split(counts))]
        regions = self.prompter(grid, self.prompter.boxes(hints[0]))[there]
        located = self.prompter(grid, self.prompter.texts(hints[1]))[there]
        with torch.autocast(grid.device.type, enabled=False):
            told = torch.tensor(counts, device=grid.device) > 0
            scale = self.prompter.logit_scale.exp().clamp(max=100)
            found = self.prompter.box_head(located.float())
            return cloc_losses(regions.float(), texts.float(), scale, found, torch.cat(list(boxes)), told)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "PrompterTraining":
        """Move or convert the frozen encoder too."""
        self.frozen[0]._apply(fn)
        return super()._apply(fn, recurse)


@HOOKS.register_module()
class ExportPrompter(Hook):
    """Writes ``prompter.safetensors`` into the work folder when the training is done, with its encoder's identity."""

    @master_only
    def after_train(self, runner: Any) -> None:
        """Write the file."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        path = Path(runner.work_dir) / "prompter.safetensors"
        save_prompter(model.prompter, path, model.frozen[0].model_id)
        runner.logger.info(f"the prompter is {path}")
