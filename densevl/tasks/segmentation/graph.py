"""The image path of a segmentor as one module, to be made a graph of: images of one size in, scores or labels out.

It computes what :meth:`Segmentor.scores` and :meth:`Segmentor.label` give for images that are encoded whole. Its sizes
may be symbols, so its code asks nothing about them: probabilities of patches are brought to the pixels by two products
with matrices, ``A_y S A_xᵀ``, as :mod:`densevl.tasks.segmentation.labelling` writes the protocol.

Convention: half-pixel centres (``align_corners=False``), float32. Images are RGB, of the size that the encoder sees.
"""

from typing import Any

import torch
from jaxtyping import Float, Float32, Int64, UInt8
from torch import Tensor, nn

from densevl.classifiers.text import TextMatching, grid_logits
from densevl.core.errors import UsageError
from densevl.core.features import TextEmbeddings
from densevl.core.int8 import dtype_name
from densevl.dense.refiners.dinoiser import mark_background
from densevl.tasks.segmentation.contracts import LabelMaker
from densevl.tasks.segmentation.segmentor import Segmentor

__all__ = ["OUTPUTS", "SegmentationGraph"]

OUTPUTS = ("scores", "labels")
"""What is put out: the probability of every class at every pixel, or the best class and its probability."""


class SegmentationGraph(nn.Module):
    """From images and the vectors of classes to scores or labels at the pixels.

    Args:
        segmentor: dense, of float32, encoding images whole.
        texts: classes that are part of the graph; None where their vectors are an input.
        output: one of :data:`OUTPUTS`.

    Raises:
        UsageError: where the output is unknown, or the segmentor does what the graph would not do: windows,
            stages, readouts that look at more than the images, classifiers that are made of examples.
    """

    queries: Tensor | None
    members: Tensor | None
    silent: Tensor | None

    def __init__(self, segmentor: LabelMaker, texts: TextEmbeddings | None = None, output: str = "scores") -> None:
        super().__init__()
        if output not in OUTPUTS:
            raise UsageError(f"output must be one of {', '.join(OUTPUTS)}; got {output!r}")
        exported = _check_all_in_graph(segmentor)
        self.dense, self.temperature = exported.dense, exported.temperature
        self.of_logits, self.labels = exported.average == "logits", output == "labels"
        self.normalise, self.at_once = exported.scoring.normalise, exported.scoring.upsampling == "direct"
        self.background = None if texts is None else texts.vocabulary.background
        self.threshold = None if texts is None else texts.threshold
        self.delta = None if texts is None else texts.delta
        self.register_buffer("queries", None if texts is None else texts.vectors.detach().clone())
        members, silent = (None, None) if texts is None else _members(texts)
        self.register_buffer("members", members)
        self.register_buffer("silent", silent)

    def forward(
        self,
        images: UInt8[Tensor, "b 3 H W"] | Float32[Tensor, "b 3 H W"],
        size: Int64[Tensor, "2"],
        classes: Float32[Tensor, "k d"] | None = None,
    ) -> tuple[Tensor, ...]:
        """Segment images.

        Args:
            images: RGB, bytes or floats in [0, 1], of the size that the encoder sees.
            size: (height, width) of what is put out.
            classes: a unit vector for each class, where none are part of the graph.

        Returns:
            Scores "b k height width"; or labels "b height width" and the probability of each.
        """
        seen = images.float() / 255 if images.dtype == torch.uint8 else images
        features = self.dense(seen)
        vectors = self.queries if classes is None else classes
        if vectors is None:
            raise UsageError("no classes are part of the graph, and none were given")
        logits = grid_logits(features.grid, lambda units: (units @ vectors.mT) * self.temperature)
        matrices = self._matrices(seen, features.grid, features.patch_size, size)
        if self.of_logits:
            scores = self._of_classes(_on_pixels(logits, matrices).softmax(dim=1), 0.0)
            scores = scores / scores.sum(dim=1, keepdim=True) if self.normalise else scores
        else:
            patches = self._of_classes(logits, -torch.inf).softmax(dim=1)
            if self.delta is not None and self.background is not None:
                patches = mark_background(patches, features.foreground, self.background, self.delta)
            scores = _on_pixels(patches, matrices)
        if not self.labels:
            return (scores,)
        best, labels = scores.max(dim=1)
        if self.threshold is not None and self.background is not None:
            labels = torch.where(best < self.threshold, self.background, labels)
        return labels, best

    def _of_classes(self, scores: Float[Tensor, "b q h w"], absent: float) -> Float[Tensor, "b k h w"]:
        """Scores of the classes: the largest of their queries, or ``absent`` where there is none."""
        if self.members is None or self.silent is None:
            return scores
        each = scores[:, self.members.flatten()].unflatten(1, self.members.shape).amax(dim=2)
        return torch.where(self.silent[:, None, None], absent, each)

    def _matrices(
        self, images: Float[Tensor, "b 3 H W"], grid: Float[Tensor, "b d h w"], patch: int, size: Int64[Tensor, "2"]
    ) -> list[Float[Tensor, "_ _"]]:
        """Weights of the patches at each pixel that is put out, down and right."""
        made = []
        for axis in (0, 1):
            out: Any = size[axis].item()  # a symbol in a graph
            torch._check(out >= 1)
            pixels, cells = (_numbers(grid.new_ones(one.shape[2 + axis])) for one in (images, grid))
            length, count = pixels[-1] + 1, cells[-1] + 1
            pitch = length / count if self.dense.border == "drop" else patch
            places = (_numbers(grid.new_ones(out)) + 0.5) * (length / size[axis]) - 0.5
            if self.at_once:
                made.append(_hats((places + 0.5) / pitch - 0.5, cells))
            else:
                made.append(_hats(places, pixels) @ _hats((pixels + 0.5) / pitch - 0.5, cells))
        return made


def _on_pixels(
    values: Float[Tensor, "b k h w"], matrices: list[Float[Tensor, "_ _"]]
) -> Float[Tensor, "b k height width"]:
    """Values of patches, upsampled to the pixels of the images and with these resized to what is put out."""
    down, right = matrices
    return down @ values @ right.mT


def _numbers(ones: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """0, 1, 2, …"""
    return ones.cumsum(0) - 1


def _hats(places: Float[Tensor, " n"], cells: Float[Tensor, " m"]) -> Float[Tensor, "n m"]:
    """Weights of linear interpolation of cells, which lie at 0, 1, 2, …, constant beyond the outermost."""
    inside = places.clamp(min=0).minimum(cells[-1])
    return (1 - (inside[:, None] - cells).abs()).clamp(min=0)


def _members(texts: TextEmbeddings) -> tuple[Int64[Tensor, "k m"], Tensor]:
    """The queries of each class, the first one again where it has fewer than others, and the classes that have none."""
    owners = texts.query_classes.tolist()
    rows = [[row for row, owner in enumerate(owners) if owner == one] for one in range(len(texts.vocabulary))]
    most = max(map(len, rows))
    filled = [found + (found[:1] or [0]) * (most - len(found)) for found in rows]
    return torch.tensor(filled), torch.tensor([not found for found in rows])


def _check_all_in_graph(segmentor: LabelMaker) -> Segmentor:
    """The segmentor; refuse one of which a graph would leave something out, and so answer something else.

    Raises:
        UsageError: with what it is, and the setting without it.
    """
    if not isinstance(segmentor, Segmentor):
        raise UsageError(
            f"a {type(segmentor).__name__} labels pixels by regions, which no graph finds; export a dense model, such "
            "as dinoiser or maskclip"
        )
    if segmentor.window is not None:
        raise UsageError(
            f"the model looks through windows of {segmentor.window} pixels, and a graph sees the image whole; "
            "set window=null (--set window=null) to export the model without windows, whose labels differ a little"
        )
    stages: list[Any] = list(segmentor.stages)
    if stages:
        raise UsageError(
            f"the model smooths its scores by {stages[0].name}, which is not in the graph; "
            "set stages=[] (--set 'stages=[]') to export it without"
        )
    needs = segmentor.dense.needs
    for unmet, what in (
        (needs.guide, "a second encoder"),
        (needs.windows, "windows"),
        (needs.texts, "the classes"),
        (needs.regions, "regions"),
    ):
        if unmet:
            raise UsageError(f"{segmentor.readout.name} reads {what} beside the images, which a graph does not have")
    if segmentor.classifier.name != TextMatching().name:
        raise UsageError(f"the classifier {segmentor.classifier.name} is not in the graph; export one of texts: `text`")
    if (dtype := dtype_name(segmentor.encoder)) != "float32":
        raise UsageError(f"graphs are of float32, and the model is of {dtype}; load it as float32")
    return segmentor
