"""The stages of a segmentor, sorted by what they change: texts, scores of patches, scores of pixels, labels."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from densevl.core.errors import UsageError
from densevl.core.features import DenseFeatures, TextEmbeddings
from densevl.core.registry import build
from densevl.dense.contracts import CellStage, LabelStage, Look, PatchStage, PixelStage, TextStage
from densevl.dense.stages import STAGES
from densevl.encoders.contracts import Needs, Window, join_needs

__all__ = ["Seen", "Stages", "cell_step", "pixel_steps", "run_patch_stages"]

GIVEN = ("windows", "texts", "images", "encoder")
"""What a stage of patches may be called with, by name."""


@dataclass(frozen=True, eq=False)
class Seen:
    """Whatever a stage of patches may ask for beside scores and features.

    Attributes:
        windows: boxes of the windows in the resized image.
        texts: the vocabulary; None for classes that were taught by examples alone.
        images: the windows, RGB in [0, 1]; None where no stage needs them.
        encoder: that made the features; None where no stage needs it.
    """

    windows: Sequence[Window]
    texts: TextEmbeddings | None = None
    images: Float[Tensor, "n 3 h w"] | None = None
    encoder: Look | None = None

    def given(self, stage: Any) -> dict[str, Any]:
        """What a stage needs, by name.

        Raises:
            UsageError: where it needs texts, and there are none, or the image, and it was let go.
        """
        needs = _needs(stage)
        if needs.texts and self.texts is None:
            raise UsageError(f"{stage.name} compares patches with texts, and these classes were taught by examples")
        given = {name: getattr(self, name) for name in GIVEN if getattr(needs, name)}
        if any(value is None for value in given.values()):
            raise UsageError(f"{stage.name} reads the image, which was encoded without it; encode it again")
        return given


class Stages(nn.Module):
    """The stages of a segmentor, in the order in which they run.

    Args:
        members: names, configs or built stages of :data:`densevl.dense.stages.STAGES`.

    Attributes:
        of_texts: change the texts by what an image shows.
        of_patches: change scores on the patch grid.
        of_pixels: change scores at the pixels.
        of_labels: change labels.
    """

    def __init__(self, members: Sequence[Any] = ()) -> None:
        super().__init__()
        built: list[Any] = [build(STAGES, member) for member in members]
        kinds = ("on_texts", "on_pixels", "on_labels")
        self.of_texts: list[TextStage] = [one for one in built if getattr(one, "on_texts", False)]
        self.of_pixels: list[PixelStage] = [one for one in built if getattr(one, "on_pixels", False)]
        self.of_labels: list[LabelStage] = [one for one in built if getattr(one, "on_labels", False)]
        self.of_patches: list[PatchStage] = [one for one in built if not any(getattr(one, k, False) for k in kinds)]
        self.weighted = nn.ModuleList(one for one in built if isinstance(one, nn.Module))

    def __iter__(self) -> Iterator[Any]:
        return iter([*self.of_texts, *self.of_patches, *self.of_pixels, *self.of_labels])

    def __bool__(self) -> bool:
        return any(True for _ in self)

    @property
    def needs(self) -> Needs:
        """The needs of all stages together."""
        return join_needs([_needs(one) for one in self])

    @property
    def names(self) -> list[str]:
        """Each with its settings, in the order in which they run."""
        return [one.name for one in self]

    @property
    def reads_pixels(self) -> bool:
        """True where a stage looks at the image itself."""
        return bool(self.of_pixels) or self.needs.images

    @property
    def of_cosines(self) -> list[PatchStage]:
        """Stages of patches that act on the cosines of queries."""
        return [one for one in self.of_patches if getattr(one, "acts_on", "probabilities") == "cosines"]

    @property
    def of_probabilities(self) -> list[PatchStage]:
        """Stages of patches that act on the probabilities of classes."""
        return [one for one in self.of_patches if getattr(one, "acts_on", "probabilities") == "probabilities"]

    @property
    def of_pixel_scores(self) -> list[PixelStage]:
        """Stages of pixels that act on scores as they come from the patches."""
        return [one for one in self.of_pixels if getattr(one, "acts_on", "scores") == "scores"]

    @property
    def of_pixel_probabilities(self) -> list[PixelStage]:
        """Stages of pixels that act on the probabilities of classes."""
        return [one for one in self.of_pixels if getattr(one, "acts_on", "scores") == "probabilities"]

    @property
    def class_by_class(self) -> bool:
        """True where the scores of each class change at the pixels by themselves, but for a first stage of cells."""
        stages = self.of_pixel_scores
        stages = stages[1:] if stages and isinstance(stages[0], CellStage) else stages
        return all(getattr(one, "class_by_class", False) for one in stages)

    def adapt(self, texts: TextEmbeddings, features: DenseFeatures) -> TextEmbeddings:
        """Texts as they are compared with an image."""
        for stage in self.of_texts:
            texts = stage(texts, features)
        return texts

    def relabel(
        self, labels: Int[Tensor, "H W"], features: DenseFeatures, windows: Sequence[Window]
    ) -> Int[Tensor, "H W"]:
        """Labels behind the stages of labels."""
        for stage in self.of_labels:
            labels = stage(labels, features, windows)
        return labels


def run_patch_stages(
    stages: Sequence[PatchStage], scores: Float[Tensor, "n q h w"], features: DenseFeatures, seen: Seen
) -> Float[Tensor, "n q h w"]:
    """Scores behind stages of patches."""
    for stage in stages:
        scores = stage(scores, features, **seen.given(stage))
    return scores


PixelStep = Callable[[Float[Tensor, "q H W"]], Float[Tensor, "q H W"]]
"""A stage of pixels that has looked at its image."""


def pixel_steps(
    stages: Sequence[PixelStage], image: Float[Tensor, "3 H W"] | None, texts: TextEmbeddings | None
) -> list[PixelStep]:
    """Stages of pixels on an image, to be run on any number of scores.

    Args:
        stages: in order.
        image: of the size of the scores; None where it was let go.
        texts: the vocabulary; None for classes that were taught by examples alone.

    Raises:
        UsageError: where the image was let go, or a stage needs texts and there are none.
    """
    steps: list[PixelStep] = []
    for stage in stages:
        given, pixels = _given(stage, image, texts)
        prepare = getattr(stage, "prepare", None)
        steps.append(partial(_called, stage, pixels, given) if prepare is None else prepare(pixels))
    return steps


def cell_step(stage: CellStage, image: Float[Tensor, "3 H W"] | None, texts: TextEmbeddings | None) -> PixelStep:
    """A stage of cells on an image, to be run on means over the cells.

    Args:
        stage: of cells.
        image: of whole size; None where it was let go.
        texts: the vocabulary; None for classes that were taught by examples alone.

    Raises:
        UsageError: where the image was let go, or the stage needs texts and there are none.
    """
    given, pixels = _given(stage, image, texts)
    return lambda scores: stage.on_cells(scores, pixels, **given)


def _given(
    stage: Any, image: Float[Tensor, "3 H W"] | None, texts: TextEmbeddings | None
) -> tuple[dict[str, Any], Float[Tensor, "3 H W"]]:
    """What a stage of pixels is called with by name, and the image."""
    if image is None:
        raise UsageError(f"{stage.name} reads the image, which was encoded without it; encode it again")
    if _needs(stage).texts and texts is None:
        raise UsageError(f"{stage.name} reads texts, and these classes were taught by examples")
    return ({"texts": texts} if _needs(stage).texts else {}), image


def _called(
    stage: PixelStage, image: Float[Tensor, "3 H W"], given: Mapping[str, Any], scores: Float[Tensor, "q H W"]
) -> Float[Tensor, "q H W"]:
    return stage(scores, image, **given)


def _needs(stage: Any) -> Needs:
    return getattr(stage, "needs", Needs())
