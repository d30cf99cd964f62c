"""Zero-shot accuracy of regions while CLOC is trained: each held-out region is named by its class.

It is MMEngine's validation: a data set of :mod:`densevl.benchmarks.regions`, its metric, and :class:`RegionLoop` as the
loop. The figures go where the losses go, and ``save_best`` can follow them.
"""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.registry import LOOPS
from mmengine.runner import ValLoop
from mmengine.structures import BaseDataElement
from torch import Tensor

from densevl.core.regions import Regions
from densevl.encoders.contracts import Encoder
from densevl.metrics.choices import choose
from densevl.regions.embedders.promptable import PromptableCLIP
from densevl.training.checkpoints import unwrapped

__all__ = ["RegionLoop", "RegionReader"]


class RegionReader:
    """Chooses a text for every region of annotated images, from the regions' boxes.

    Args:
        encoder: a CLIP encoder.
        prompter: that reads its tokens.
        texts: to choose from; those beyond the context of the encoder lose their last words.
    """

    def __init__(self, encoder: Encoder, prompter: Any, texts: Sequence[str]) -> None:
        self.reader = PromptableCLIP(encoder, prompter)
        self.texts = self.reader.embed_texts(encoder.fit_texts(texts)[0])

    @torch.no_grad()
    def __call__(self, inputs: Sequence[Tensor], data_samples: Sequence[BaseDataElement]) -> list[BaseDataElement]:
        """Add ``answers`` to every sample that has an image.

        Args:
            inputs: uint8 RGB images (3, H, W), each any size.
            data_samples: their regions; those with a ``failure`` are passed on as they are.
        """
        used = [place for place, sample in enumerate(data_samples) if "failure" not in sample]
        if used:
            images = [inputs[place].permute(1, 2, 0).contiguous().cpu().numpy() for place in used]
            boxes = [[region.box for region in data_samples[place].regions] for place in used]
            pairs = zip(boxes, images, strict=True)
            regions = [Regions.from_boxes(some, image.shape[:2]) for some, image in pairs]
            vectors = self.reader.embed(self.reader.encode(images), regions)
            for place, embedded in zip(used, vectors, strict=True):
                sample = data_samples[place]
                truths, choices = ([getattr(r, name) for r in sample.regions] for name in ("truth", "choices"))
                sample.set_field(choose(embedded.cosines(self.texts), truths, choices), "answers")
        return list(data_samples)


@LOOPS.register_module()
class RegionLoop(ValLoop):
    """MMEngine's validation, of a model that first embeds the names of the data set."""

    def run(self) -> dict[str, float]:
        """Validate."""
        unwrapped(self.runner).prepare(self.dataloader.dataset)
        return super().run()
