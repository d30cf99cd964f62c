"""Captions by a model of transformers: BLIP, BLIP-2, GIT and others that turn an image into a sentence.

An extra: ``densevl[detect]``. Captions are those of greedy search or beam search, never drawn at random, so that the
same image has the same caption.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from densevl.regions.detectors.detector import Picture
from densevl.regions.detectors.pretrained import load_pretrained

__all__ = ["Captioner", "build_captioner"]


class Captioner(nn.Module):
    """Writes captions.

    Args:
        model: of transformers, from images to texts.
        processor: of the model.
        name: what results call it.
        beams: of the search; 1 is greedy.
        longest: tokens of a caption at most.
    """

    def __init__(self, model: Any, processor: Any, name: str, beams: int = 3, longest: int = 40) -> None:
        super().__init__()
        self.model, self.processor, self.name, self.beams, self.longest = model.eval(), processor, name, beams, longest

    @torch.no_grad()
    def caption(self, images: Sequence[Picture]) -> list[str]:
        """A caption of each image, uint8 RGB of any sizes."""
        weight = next(self.model.parameters())
        pixels = self.processor(images=list(images), return_tensors="pt")["pixel_values"].to(weight)
        tokens = self.model.generate(
            pixel_values=pixels, num_beams=self.beams, do_sample=False, max_new_tokens=self.longest
        )
        texts = self.processor.batch_decode(tokens, skip_special_tokens=True)
        return [" ".join(text.split()) for text in texts]


def build_captioner(weights: str, *, beams: int = 3, offline: bool = False) -> Captioner:
    """A captioner.

    Args:
        weights: a repository on the hub, such as ``Salesforce/blip-image-captioning-base``, or a folder with its files.
        beams: see :class:`Captioner`.
        offline: never reach for the network.

    Raises:
        UsageError: where transformers is missing.
        WeightsError: where the model cannot be had.
    """
    example = "Salesforce/blip-image-captioning-base"
    model, processor = load_pretrained("AutoModelForImageTextToText", "AutoProcessor", weights, None, offline, example)
    return Captioner(model, processor, weights.rstrip("/").rsplit("/", 1)[-1], beams)
