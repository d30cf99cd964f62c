"""A detector made of a mask maker and a region embedder: every region that is seen, by its best name.

The mask maker proposes; the score of a proposal for a text is the probability of the text beside words for other
things, softmax(scale · mean cosine), so that a box that shows none of the texts gets none. Of these other words those
are left out that mean the same: whose words are among the text's, or the other way round.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from densevl.core.errors import UsageError
from densevl.core.regions import Regions, shared_areas
from densevl.core.registry import build
from densevl.core.vocabulary import Vocabulary, normalised
from densevl.regions.detectors.detector import Found, Picture, named_regions
from densevl.regions.embedders import REGION_EMBEDDERS
from densevl.regions.mask_makers import MASK_MAKERS

__all__ = ["NamedProposals", "build_mini_detector", "text_probabilities", "without_parts"]


class NamedProposals(nn.Module):
    """Names what a mask maker sees.

    Args:
        mask_maker: proposes; built, or a config.
        embedder: region embedder whose encoder also embeds texts; built, or a config.
        others: words for other things, or the name of a vocabulary.
        scale: of the cosines; None for the one that the encoder was trained with.
        name: what results call it.

    Raises:
        UsageError: where there are no other words, the scale is not above 0, or a name is unknown.
    """

    def __init__(
        self,
        mask_maker: Any,
        embedder: Any,
        others: str | Sequence[str],
        scale: int | float | None = None,
        name: str = "named proposals",
    ) -> None:
        super().__init__()
        words = Vocabulary.load(others).names if isinstance(others, str) else tuple(others)
        if not words:
            raise UsageError("give words for other things, beside which a text is to be likelier")
        if scale is not None and not scale > 0:
            raise UsageError(f"scale must be above 0; got {scale}")
        self.mask_maker = build(MASK_MAKERS, mask_maker)
        self.embedder = build(REGION_EMBEDDERS, embedder)
        self.others, self.scale, self.name = words, scale, name
        self.eval()

    def to(self, *place: Any, **settings: Any) -> "NamedProposals":
        """Move both models to a device; a mask maker is no module, and is moved beside the other."""
        super().to(*place, **settings)
        self.mask_maker.to(next(self.parameters()).device)
        return self

    def detect(self, image: UInt8[np.ndarray, "H W 3"], text: str, top: int = 10) -> Regions:
        """The ``top`` likeliest boxes for a text, with scores in [0, 1], the best first."""
        return self.find([image], [[text]], 0.0)[0].regions[:top]

    @torch.no_grad()
    def find(
        self, images: Sequence[Picture], texts: Sequence[Sequence[str]], threshold: int | float = 0.1
    ) -> list[Found]:
        """The boxes in each image for several texts: every proposal with the text that suits it best.

        Args:
            images: uint8 RGB, of any sizes.
            texts: those of each image; an image may have none.
            threshold: least score, itself left out.
        """
        return [self._find(image, list(names), threshold) for image, names in zip(images, texts, strict=True)]

    def _find(self, image: Picture, texts: list[str], threshold: int | float) -> Found:
        size = image.shape[0], image.shape[1]
        seen = self.mask_maker.everything(image) if texts else Regions(torch.zeros(0, 4), size)
        if not len(seen):
            return named_regions(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0).long(), size, threshold)
        regions = self.embedder.embed(image, seen)
        encoder = self.embedder.encoder
        scale = encoder.temperature if self.scale is None else self.scale
        looks = sum(regions.weights.get(name, 1.0) for name in regions.parts) or 1.0
        cosines = regions.cosines(encoder.embed_texts([*texts, *self.others])) / looks
        own, other = (scale * cosines).split([len(texts), len(self.others)], dim=1)
        scores, names = text_probabilities(own, other, texts, self.others).max(1)
        return without_parts(named_regions(seen.boxes, scores, names, size, threshold))


def without_parts(found: Found, most: int | float = 0.7) -> Found:
    """Without the worse of two boxes of one text where most of the smaller one lies in the other.

    Mask makers propose a thing, its parts, and the thing with what is beside it; the name fits all of them.

    Args:
        found: boxes, the best first.
        most: fraction of the smaller box's area.
    """
    boxes, areas = found.regions.boxes, found.regions.box_areas
    kept: list[int] = []
    for i, name in enumerate(found.names):
        rivals = [j for j in kept if found.names[j] == name]
        shared = shared_areas(boxes[i : i + 1], boxes[rivals])[0]
        if not (shared > most * torch.minimum(areas[i], areas[rivals])).any():
            kept.append(i)
    return Found(found.regions[kept], tuple(found.names[i] for i in kept))


def text_probabilities(
    own: Float[Tensor, "n q"], other: Float[Tensor, "n o"], texts: Sequence[str], others: Sequence[str]
) -> Float[Tensor, "n q"]:
    """The probability of each text beside the other words that do not mean the same.

    Args:
        own: logits of the texts.
        other: logits of the other words.
        texts: names of the things that are looked for.
        others: words for other things.
    """
    same = torch.tensor([[_same(text, other) for other in others] for text in texts], device=own.device)
    return torch.sigmoid(own - other[:, None].masked_fill(same, -torch.inf).logsumexp(-1))


def _same(text: str, other: str) -> bool:
    one, two = set(normalised(text).split()), set(normalised(other).split())
    return one <= two or two <= one


def build_mini_detector(offline: bool = False) -> NamedProposals:
    """The mini SAM, the mini CLIP and its prompter that come with densevl, for drawn scenes.

    Args:
        offline: there is nothing to fetch; taken because every detector takes it.
    """
    encoder = {"type": "clip", "weights": "mini-clip"}
    embedder = {"type": "prompter", "encoder": encoder, "prompter": "mini-cloc", "hint": "mask"}
    return NamedProposals({"type": "sam", "weights": "mini-sam"}, embedder, "scenes", name="mini")
