"""Training of CLOC in its three modes: from scratch, the prompter alone, or everything from a finished CLIP.

Source: see :mod:`densevl.regions.embedders.prompter` and :mod:`densevl.training.cloc.losses`. With f_I and f_T the
pooled image and the text embedding of the CLIP, f' its tokens of the same pass and z the prompter::

    L = L_CLIP(f_I, f_T(caption)) + λ (L_CLOC(z(box, f'), f_T(text)) + L_ground(BoxHead(z(f_T(text), f')), box))

Where the CLIP is frozen, L_CLIP has nothing to teach and is left out. Texts reach the prompter as unit vectors with
their gradient, since the paper says nothing of cutting it. Where the gradients of several batches are accumulated, the
negatives of each are its own.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from torch import Tensor

from densevl.core.errors import UsageError
from densevl.core.registry import build
from densevl.encoders import ENCODERS
from densevl.encoders.clip import CLIPEncoder, WholeImageEncoder
from densevl.training.cloc.accuracy import RegionReader
from densevl.training.cloc.hints import RegionHints, padded
from densevl.training.cloc.losses import ALIKE, clip_loss, cloc_losses, sample_regions
from densevl.training.cloc.start import check_encoder, freeze_unread, new_prompter

__all__ = ["ClocTraining"]


@MODELS.register_module()
class ClocTraining(BaseModel):
    """A CLIP and its prompter with their losses, as MMEngine runs them.

    Parameters, state and checkpoints are those of the prompter, ``prompter.*``, and, where it is trained, of the CLIP,
    ``clip.*``; a frozen encoder follows the prompter to its device.

    Args:
        encoder: the CLIP encoder whose tokens the prompter shall read, or its config: ``dict(type="clip", …)`` for a
            finished one, ``dict(type="random-clip", …)`` to train from scratch.
        frozen: train the prompter alone.
        most: M, how many regions of an image are used in a step, drawn at random.
        hints: how often ``box``, ``point`` and ``mask`` are drawn, relative to each other; None for boxes alone.
        points: greatest number of points of a hint.
        threshold: cosine above which two region texts are no negatives of each other; None for no such filter.
        grounding: factor of L_ground; 0 leaves it out.
        seed: of the prompter's first weights.
        prompter: None for a new :class:`densevl.regions.embedders.prompter.Prompter`; a file of one that was trained on
            this encoder; a built one; or what makes another, from width, dim and ``settings``.
        start: first weights of the new prompter: ``"random"``, or ``"box-pooling"`` to begin from what the CLIP knows
            already (:mod:`densevl.regions.embedders.prompter_start`).
        settings: further arguments of the new prompter.

    Raises:
        UsageError: where the arguments have no meaning, alone or together.
    """

    def __init__(
        self,
        encoder: WholeImageEncoder | Mapping[str, Any],
        frozen: bool = True,
        most: int = 4,
        hints: Mapping[str, int | float] | None = None,
        points: int = 3,
        threshold: int | float | None = ALIKE,
        grounding: int | float = 1.0,
        seed: int = 0,
        prompter: Any = None,
        start: str = "random",
        **settings: Any,
    ) -> None:
        super().__init__()
        if most < 1 or grounding < 0:
            raise UsageError(f"most must be at least 1 and grounding 0 or more; got {most} and {grounding}")
        clip: CLIPEncoder = build(ENCODERS, encoder)
        check_encoder(clip, frozen)
        self.frozen, self.most, self.threshold, self.grounding = frozen, most, threshold, grounding
        self.hints = RegionHints(hints, points)
        # In a tuple: as a submodule the frozen encoder would be in every checkpoint and in the optimizer.
        self._encoder: tuple[CLIPEncoder] = (clip.eval().requires_grad_(not frozen),)
        if not frozen:
            self.clip = clip.model
            clip.text_cache = None  # it is kept under the name of weights that change from now on
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.prompter = new_prompter(prompter, clip, start, settings).requires_grad_(True).train()
        self._freeze_unread()

    @property
    def encoder(self) -> CLIPEncoder:
        """The CLIP encoder."""
        return self._encoder[0]

    def forward(
        self,
        images: Sequence[Tensor] = (),
        boxes: Sequence[Tensor] = (),
        texts: Sequence[Sequence[str]] = (),
        caption: Sequence[str | None] | None = None,
        masks: Sequence[Tensor | None] | None = None,
        tokens: Sequence[Tensor] | None = None,
        mode: str = "loss",
    ) -> dict[str, Tensor]:
        """Losses of a batch.

        Args:
            images: (3, S, S) uint8, scaled and padded to one size.
            boxes: of the regions of each image as fractions of its padded size, (r, 4); r may be 0.
            texts: of the regions of each image.
            caption: of each image; one without is left out of L_CLIP. Not needed where the CLIP is frozen.
            masks: of the regions of each image, (r, S, S) bool, or None; needed where masks are hints.
            tokens: of each image, (c, h, w), as a frozen encoder gave them before; then no images are needed.
            mode: unused; MMEngine passes it.

        Raises:
            UsageError: where captions or masks are needed and missing, images have different sizes, or tokens are given
                for an encoder that is trained.
        """
        device, dtype = self.prompter.logit_scale.device, self.prompter.logit_scale.dtype
        chosen = sample_regions([len(some) for some in boxes], self.most)
        boxes = [some[rows].to(device, dtype) for some, rows in zip(boxes, chosen, strict=True)]
        if masks is not None:
            pairs = zip(masks, chosen, strict=True)
            masks = [None if some is None else some[rows.to(some.device)].to(device) for some, rows in pairs]
        words = [some[row] for some, rows in zip(texts, chosen, strict=True) for row in rows.tolist()]
        captions = self._captions(caption)
        grid, pooled = self.encode(images) if tokens is None else self._encoded(tokens)
        of_regions, of_captions = self.embed([*words, *captions.values()]).split([len(words), len(captions)])
        # The processes meet in the losses, and what is computed before has to be computed by then: their gradients
        # then meet in the same order.
        results = self.region_results(grid, boxes, of_regions, masks)
        with torch.autocast(device.type, enabled=False):
            described = torch.tensor([len(some) > 0 for some in boxes], device=device)
            losses = self._losses(results, of_regions, boxes, described)
            if pooled is None:
                return losses
            scale = self.clip.logit_scale.exp().clamp(max=100)
            return {"loss_clip": clip_loss(pooled[list(captions)], of_captions, scale), **losses}

    def encode(self, images: Sequence[Tensor]) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, "b d"] | None]:
        """Tokens on the patch grid and, where the CLIP is trained, unit vectors of whole images from the same pass.

        Args:
            images: (3, S, S) uint8.

        Raises:
            UsageError: where images have different sizes.
        """
        if len({some.shape for some in images}) > 1:
            raise UsageError(f"images must be padded to one size; got {sorted({tuple(i.shape) for i in images})}")
        scale = self.prompter.logit_scale
        pixels = torch.stack(tuple(images)).to(scale.device).to(scale.dtype) / 255
        if self.frozen:
            return self.encoder.tokens(pixels), None
        grid, pooled = self.encoder.forward_images(pixels)
        return grid, _unit(pooled)

    def embed(self, words: Sequence[str]) -> Float[Tensor, "q d"]:
        """Unit vectors of texts, with gradients where the CLIP is trained; equal texts are embedded once."""
        places = {word: place for place, word in enumerate(dict.fromkeys(words))}
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            # Without a text, an empty one: the text tower then has a gradient, 0, on this process too.
            vectors = _unit(self.encoder.forward_texts(list(places) or [""]))
            return vectors[[places[word] for word in words]]

    def region_results(
        self,
        grid: Float[Tensor, "b c h w"],
        boxes: Sequence[Float[Tensor, "_ 4"]],
        texts: Float[Tensor, "r d"],
        masks: Sequence[Tensor | None] | None = None,
    ) -> tuple[Float[Tensor, "r d"], Float[Tensor, "r 4"] | None]:
        """Unit vectors of the regions of a batch that is encoded, and the boxes found for their texts.

        Args:
            grid: tokens of the images.
            boxes: of the regions of each image.
            texts: unit vectors of the texts of the regions, image by image.
            masks: of the regions of each image, as :meth:`forward` takes them.
        """
        counts = [len(some) for some in boxes]
        there = torch.arange(max(counts), device=grid.device) < torch.tensor(counts, device=grid.device)[:, None]
        regions = self.prompter(grid, *self.hints(self.prompter, grid, boxes, masks, self.encoder.patch_size))[there]
        if self.grounding == 0:
            return regions, None
        hints = self.prompter.texts(padded(texts.split(counts)))
        located = self.prompter(grid, hints)[there]
        with torch.autocast(grid.device.type, enabled=False):
            return regions, self.prompter.box_head(located)

    def prepare(self, dataset: Any) -> None:
        """Embed the names of a data set of annotated regions, for :meth:`val_step`."""
        self.reader = RegionReader(self.encoder, self.prompter, dataset.texts)

    @torch.no_grad()
    def val_step(self, data: Any) -> list[Any]:
        """Name the regions of a batch of annotated images."""
        return self.reader(**self.data_preprocessor(data, False))

    def _losses(
        self, results: tuple[Tensor, Tensor | None], texts: Tensor, boxes: Sequence[Tensor], described: Tensor
    ) -> dict[str, Tensor]:
        regions, found = results
        scale = self.prompter.logit_scale.exp().clamp(max=100)
        losses = cloc_losses(regions, texts, scale, found, torch.cat(list(boxes)), described, self.threshold)
        if found is not None:
            losses["loss_ground"] = self.grounding * losses["loss_ground"]
        return losses

    def _encoded(self, tokens: Sequence[Tensor]) -> tuple[Tensor, None]:
        if not self.frozen:
            raise UsageError("tokens go out of date while their encoder is trained; give `images`, or frozen=True")
        scale = self.prompter.logit_scale
        return torch.stack(tuple(tokens)).to(scale.device, scale.dtype), None

    def _captions(self, given: Sequence[str | None] | None) -> dict[int, str]:
        """Captions by the number of their image; none where the CLIP is frozen."""
        if self.frozen:
            return {}
        if given is None:
            raise UsageError(
                "a CLIP is trained on images with captions, and these data have no `caption`; add them, or train the "
                "prompter alone with model.frozen=True"
            )
        return {place: text for place, text in enumerate(given) if text is not None}

    def _freeze_unread(self) -> None:
        """Leave out the weights that no hint of this training reads: each other one then has a gradient in each step,
        as data-parallel training wants it."""
        grid, boxes = torch.zeros(1, self.encoder.width, 2, 2), torch.tensor([[0.0, 0.0, 1.0, 1.0]])
        masks = [torch.ones(1, 2, 2, dtype=torch.bool)]
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            read = self.region_results(grid, [boxes], torch.zeros(1, self.encoder.dim), masks)
        freeze_unread(self.prompter, [some for some in read if some is not None], ["logit_scale"])

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "ClocTraining":
        """Move or convert a frozen encoder too."""
        if self.frozen:
            self.encoder._apply(fn)
        return super()._apply(fn, recurse)


def _unit(vectors: Float[Tensor, "q d"]) -> Float[Tensor, "q d"]:
    """Unit vectors, in float32 at least."""
    return F.normalize(vectors.to(torch.promote_types(vectors.dtype, torch.float32)), dim=-1)
