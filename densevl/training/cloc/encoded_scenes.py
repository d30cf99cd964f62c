"""Scenes encoded once, on which many readers of regions are trained and measured in minutes."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float16, Float32, Int64
from torch import Tensor
from tqdm import tqdm

from densevl.core.geometry import mask_coverage
from densevl.datasets.scenes.training import SceneRegionTexts
from densevl.encoders.contracts import Encoder

__all__ = ["EncodedScenes"]

AT_ONCE = 16
"""Images that are encoded together."""


@dataclass(frozen=True, eq=False)
class EncodedScenes:
    """Tokens of scenes and the regions in them; scenes without a region are left out.

    Attributes:
        tokens: of the images, in half precision, a token's values side by side.
        boxes: of the regions of each image, as fractions of the padded image.
        coverage: how much the mask of each region covers of each patch.
        texts: index of the text of each region.
        vectors: unit vectors of the different texts.
    """

    tokens: Float16[Tensor, "n h w c"]
    boxes: Sequence[Float32[Tensor, "_ 4"]]
    coverage: Sequence[Float32[Tensor, "_ h w"]]
    texts: Sequence[Int64[Tensor, " _"]]
    vectors: Float32[Tensor, "q d"]

    def __len__(self) -> int:
        return len(self.boxes)

    @staticmethod
    def of(dataset: SceneRegionTexts, encoder: Encoder) -> "EncodedScenes":
        """Draw and encode scenes with masks, of one size."""
        numbers: dict[str, int] = {}
        grids, boxes, coverage, texts = [], [], [], []
        with tqdm(total=len(dataset), desc="training scenes", disable=None) as progress:
            for start in range(0, len(dataset), AT_ONCE):
                group = [dataset[index] for index in range(start, min(start + AT_ONCE, len(dataset)))]
                tokens = encoder.tokens(torch.stack([sample["images"] for sample in group]).float() / 255).half()
                side, grid = group[0]["images"].shape[-1], (tokens.shape[2], tokens.shape[3])
                described = [place for place, sample in enumerate(group) if sample["texts"]]
                grids.append(tokens[described].movedim(1, -1).contiguous())
                boxes += [group[place]["boxes"] for place in described]
                masks = [group[place]["masks"].float() for place in described]
                coverage += [mask_coverage(some, side, encoder.patch_size, grid) for some in masks]
                words = [group[place]["texts"] for place in described]
                texts += [torch.tensor([numbers.setdefault(word, len(numbers)) for word in some]) for some in words]
                progress.update(len(group))
        return EncodedScenes(torch.cat(grids), boxes, coverage, texts, encoder.embed_texts(list(numbers)))
