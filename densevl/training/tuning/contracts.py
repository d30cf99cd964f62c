"""The contracts of tuning: how examples are looked at, one step as losses see it, and a loss."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from densevl.encoders.clip import CLIPEncoder
from densevl.encoders.tuning.contracts import ClassTexts, Look

__all__ = ["Looks", "Loss", "Step"]


class Step(NamedTuple):
    """One step of tuning.

    Attributes:
        look: at the examples by the encoder as it is now: unit vectors with gradients where the image tower is tuned.
        labels: class of each; None where none is read.
        texts: unit vectors of the classes, or of each example by itself, with gradients where the texts are tuned.
        names: of the classes.
        temperature: factor of cosines.
        strong: a second, more strongly changed view of the same examples, where a loss asks for it.
        before: unit vectors of the examples and of the classes by the encoder before it was tuned, where a loss asks
            for them.
        class_texts: what makes the texts; None for the encoder's own.
        encoder: the encoder that is tuned.
        progress: part of the steps that are done, in [0, 1).
        views: further looks at the same examples, each differently changed, by the names of the changes, where a loss
            asks for them; see :data:`densevl.training.tuning.views.VIEWS`.
        descriptions: unit vectors of texts that describe each class, equally many of each, by the encoder before it was
            tuned, where a loss asks for them.
        old: number of the classes of earlier sessions, which come first.
    """

    look: Look
    labels: Int[Tensor, " b"] | None
    texts: Float[Tensor, "k d"] | Float[Tensor, "b k d"]
    names: Sequence[str]
    temperature: float
    strong: Look | None = None
    before: tuple[Float[Tensor, "b d"], Float[Tensor, "k d"]] | None = None
    class_texts: ClassTexts | None = None
    encoder: CLIPEncoder | None = None
    progress: float = 0.0
    views: Mapping[str, Look] = MappingProxyType({})
    descriptions: Float[Tensor, "k m d"] | None = None
    old: int = 0

    @property
    def logits(self) -> Float[Tensor, "b k"]:
        """Scaled cosines of the examples and the classes."""
        spelled = "bd,kd->bk" if self.texts.ndim == 2 else "bd,bkd->bk"
        return self.temperature * torch.einsum(spelled, self.look.vectors, self.texts)


@runtime_checkable
class Loss(Protocol):
    """A term that tuning makes small; an ``nn.Module`` where it learns numbers of its own, which no delta keeps.

    One with a method ``start(encoder)`` is told of the encoder before it is tuned, and at the start of every session.

    Attributes:
        weight: factor of the term.
        needs: fields of :class:`Step` that cost something and that it reads: of ``"labels"``, ``"strong"``,
            ``"before"``, ``"descriptions"``, and ``"view:NAME"`` for each view.
    """

    weight: float
    needs: tuple[str, ...]

    def __call__(self, step: Step, /) -> Float[Tensor, ""]:
        """The term of a step, its factor included."""
        ...


@runtime_checkable
class Looks(Protocol):
    """Examples as an encoder looks at them: whole images, marked regions, regions of dense features, or pixels.

    Attributes:
        frozen: the vectors do not change while the encoder is tuned, and were made once.
        space: which vectors they are; see :class:`densevl.classifiers.contracts.Classifier`.
    """

    frozen: bool

    @property
    def space(self) -> str | None: ...

    def __len__(self) -> int: ...

    def look(
        self, places: Sequence[int], seeds: Sequence[int | None], view: str | None = None, states: bool = False
    ) -> Look:
        """Look at some of the examples, with gradients where the image tower is tuned.

        Args:
            places: of the examples.
            seeds: of each, draws what is changed in its image; None for nothing.
            view: how images are changed; None for the crops and mirror images of the method.
            states: give mean and standard deviation over the tokens behind each block, too.
        """
        ...
