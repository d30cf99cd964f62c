"""From an encoded image and a classifier to scores and labels: what is averaged over windows, and the stages between.

Two orders are in use. Where *probabilities* are averaged (mmsegmentation, CLIP-DINOiser), the scores of a class are the
largest of its queries, their softmax is taken at the patches, and the windows' probabilities meet at the pixels. Where
*logits* are averaged (SCLIP and its kin), the windows' cosines of queries meet at the pixels, the softmax over all
queries is taken there, and the probability of a class is the largest of its queries.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor, nn

from densevl.classifiers.contracts import Classifier, MergedClassifier
from densevl.classifiers.text import TextClassifier, grid_logits
from densevl.core.errors import UsageError
from densevl.core.features import TextEmbeddings
from densevl.dense.contracts import CellStage, PixelStage
from densevl.tasks.segmentation.drawn import Drawn
from densevl.tasks.segmentation.encoded import EncodedImage
from densevl.tasks.segmentation.labelling import label
from densevl.tasks.segmentation.stages import Seen, Stages, cell_step, pixel_steps, run_patch_stages
from densevl.tasks.segmentation.streamed import Streamed, groups_of_classes
from densevl.tasks.segmentation.windows import WindowPlan

__all__ = ["AVERAGES", "UPSAMPLINGS", "Scoring"]

AVERAGES = ("probabilities", "logits")
"""What is averaged over windows."""

UPSAMPLINGS = ("image", "direct")
"""Ways from patches to the pixels of the image as given: through those of the resized image, or at once."""


class Scoring(nn.Module):
    """The way from features to scores and labels.

    Args:
        stages: that change scores.
        average: what is averaged over windows, one of :data:`AVERAGES`.
        normalise: where logits are averaged, whether the probabilities of the classes are made to sum to 1 after the
            largest of each class was taken.
        upsampling: one of :data:`UPSAMPLINGS`.

    Raises:
        UsageError: where a setting is unknown, or a stage changes what is never made.
    """

    def __init__(self, stages: Stages, average: str, normalise: bool, upsampling: str) -> None:
        super().__init__()
        for name, value, known in (("average", average, AVERAGES), ("upsampling", upsampling, UPSAMPLINGS)):
            if value not in known:
                raise UsageError(f"{name} must be one of {', '.join(known)}; got {value!r}")
        if average == "logits" and stages.of_probabilities:
            raise UsageError(
                f"average=logits makes no probabilities of patches, which {stages.of_probabilities[0].name} changes; "
                "take average=probabilities"
            )
        self.stages, self.average, self.normalise, self.upsampling = stages, average, normalise, upsampling

    @property
    def protocol(self) -> dict[str, Any]:
        """Everything that decides the way, for reports: JSON values only."""
        return {
            "stages": self.stages.names,
            "average": self.average,
            "normalise": self.normalise,
            "upsampling": self.upsampling,
        }

    def probabilities(self, encoded: EncodedImage, classifier: Classifier) -> Float32[Tensor, "n k h w"]:
        """Probabilities of classes on the patch grid of every window, behind the stages of patches."""
        if isinstance(classifier, MergedClassifier):
            merged = classifier.merged(lambda one: self._at_patches(encoded, one).movedim(1, -1))
            result = merged.movedim(-1, 1)
        else:
            result = self._at_patches(encoded, classifier)
        seen = self._seen(encoded, getattr(classifier, "texts", None))
        return run_patch_stages(self.stages.of_probabilities, result, encoded.features, seen)

    def _at_patches(self, encoded: EncodedImage, classifier: Classifier) -> Float32[Tensor, "n k h w"]:
        """Probabilities of classes at the patches before the stages that change these."""
        if not self.stages.of_cosines:
            logits = grid_logits(encoded.features.grid, classifier)
        else:
            logits = self._query_scores(encoded, classifier)
            if isinstance(classifier, TextClassifier):
                scaled = logits.movedim(1, -1) * classifier.temperature
                logits = classifier.of_classes(scaled).movedim(-1, 1)
        return logits.sigmoid() if getattr(classifier, "sigmoid", False) else logits.softmax(dim=1)

    def of_probabilities(
        self, encoded: EncodedImage, probabilities: Float[Tensor, "n k h w"], classes: TextEmbeddings | Classifier
    ) -> Float32[Tensor, "k H W"]:
        """Scores of the classes at the pixels from their probabilities at the patches."""
        result = self._drawn(encoded, probabilities).pixels()
        texts = classes if isinstance(classes, TextEmbeddings) else None
        return self._through_pixels(
            [*self.stages.of_pixel_scores, *self.stages.of_pixel_probabilities], result, encoded, texts
        )

    def label(
        self, encoded: EncodedImage, probabilities: Float[Tensor, "n k h w"], classes: TextEmbeddings | Classifier
    ) -> tuple[Int[Tensor, "H W"], Float32[Tensor, "H W"]]:
        """The best class of each pixel and its score, from probabilities at the patches."""
        if self.stages.of_pixels:
            best, labels = self.of_probabilities(encoded, probabilities, classes).max(dim=0)
            return labels, best
        drawn = self._drawn(encoded, probabilities)
        return label(probabilities, drawn.plan, drawn.patch_size, drawn.size, extent=drawn.extent)

    def of_logits(self, encoded: EncodedImage, classifier: Classifier) -> Float32[Tensor, "k H W"]:
        """Probabilities of the classes at the pixels, where logits are averaged; experts are merged there."""
        if isinstance(classifier, MergedClassifier):
            return classifier.merged(lambda one: self.of_logits(encoded, one).movedim(0, -1)).movedim(-1, 0)
        texts = getattr(classifier, "texts", None)
        drawn, stages = self._before_pixels(encoded, self._query_scores(encoded, classifier), texts)
        result = self._through_pixels(stages, drawn.pixels(), encoded, texts)
        if isinstance(classifier, TextClassifier):
            queries = result.mul_(classifier.temperature).movedim(0, -1)
            result = classifier.probabilities(queries, self.normalise).movedim(-1, 0)
        else:
            result = result.softmax(dim=0)
        return self._through_pixels(self.stages.of_pixel_probabilities, result, encoded, texts)

    def label_logits(
        self, encoded: EncodedImage, classifier: Classifier
    ) -> tuple[Int[Tensor, "H W"], Float32[Tensor, "H W"]]:
        """The best class of each pixel and its probability, where logits are averaged.

        Where each class is scored by itself, they are looked at a few at a time, and memory does not grow with them.
        """
        alone = getattr(classifier, "sigmoid", False) or isinstance(classifier, MergedClassifier)
        if alone or self.stages.of_pixel_probabilities or not self.stages.class_by_class:
            best, labels = self.of_logits(encoded, classifier).max(dim=0)
            return labels, best
        logits, texts = self._query_scores(encoded, classifier), None
        owners, temperature, tau = torch.arange(logits.shape[1]), 1.0, None
        if isinstance(classifier, TextClassifier):
            texts, temperature, tau = classifier.texts, classifier.temperature, classifier.tau
            owners = texts.owners
        streamed = Streamed(encoded.size, logits.device, self.normalise, tau)
        drawn, stages = self._before_pixels(encoded, logits, texts)
        steps = pixel_steps(stages, encoded.as_given if stages else None, texts)
        for members, queries in groups_of_classes(owners, encoded.size):
            some = drawn.pixels(queries)
            for step in steps:
                some = step(some)
            streamed.add(members, owners[queries], some.mul_(temperature))
        return streamed.labels, streamed.best

    def _query_scores(self, encoded: EncodedImage, classifier: Classifier) -> Float32[Tensor, "n q h w"]:
        """Cosines of each query at each patch behind the stages of cosines; logits of classes taught by examples."""
        if isinstance(classifier, TextClassifier):
            cosines = grid_logits(encoded.features.grid, classifier.cosines)
            seen = self._seen(encoded, classifier.texts)
            return run_patch_stages(self.stages.of_cosines, cosines, encoded.features, seen)
        if self.stages.of_cosines:
            stage = self.stages.of_cosines[0].name
            raise UsageError(f"{stage} changes cosines of texts, and these classes were taught by examples")
        return grid_logits(encoded.features.grid, classifier)

    def _seen(self, encoded: EncodedImage, texts: TextEmbeddings | None) -> Seen:
        images = None
        if self.stages.needs.images and encoded.pixels is not None:
            images = encoded.plan.crop(encoded.pixels[None].to(encoded.features.grid.device))
        return Seen(encoded.plan.boxes, texts, images, encoded.encoder)

    def _drawn(self, encoded: EncodedImage, values: Float[Tensor, "n q h w"]) -> Drawn:
        """Values of the patches of all windows, ready to be brought to the pixels of the image as given."""
        at_once = self.upsampling == "direct"
        plan, extent = encoded.at_once if at_once else (encoded.plan, encoded.features.extent)
        return Drawn(values, plan, encoded.features.patch_size, encoded.size, extent)

    def _before_pixels(
        self, encoded: EncodedImage, values: Float[Tensor, "n q h w"], texts: TextEmbeddings | None
    ) -> tuple[Drawn, Sequence[PixelStage]]:
        """Values behind a first stage that works on cells of the image, and the stages that are left.

        A stage of cells takes means over them and stretches what it makes over the image, so that no map of pixels is
        made for it.
        """
        drawn, stages = self._drawn(encoded, values), self.stages.of_pixel_scores
        if not stages or not isinstance(stages[0], CellStage):
            return drawn, stages
        step = cell_step(stages[0], encoded.as_given, texts)
        solved = step(drawn.means(stages[0].cell(encoded.size)))
        height, width = encoded.size
        return Drawn(solved[None], WindowPlan(encoded.size, None), 1, encoded.size, (0, 0, width, height)), stages[1:]

    def _through_pixels(
        self,
        stages: Sequence[PixelStage],
        values: Float[Tensor, "q H W"],
        encoded: EncodedImage,
        texts: TextEmbeddings | None,
    ) -> Float32[Tensor, "q H W"]:
        """Values at the pixels behind stages."""
        for step in pixel_steps(stages, encoded.as_given if stages else None, texts):
            values = step(values)
        return values
