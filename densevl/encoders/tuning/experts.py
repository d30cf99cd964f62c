"""MoCoOp: several learnt texts around a class name, of which each image takes the two that suit it.

Source: Du et al., Mixture of Prompt Learning for Vision Language Models (MoCoOp), 2024,
https://arxiv.org/abs/2409.12011; dyabel/mocoop at commit 04b5d2a (no licence: facts only). An expert g has a group of
templates and learnt tokens in place of the words of the first of them, before and after the name; ``s_gk`` is the unit
vector of ``text of class k + w``, w one learnt offset of all. A gate ``a = A x + b`` of the unit vector x of an image
takes the two experts with the highest ``a_g``; the text of class k is ``Σ over them of softmax(a)_g s_gk``, which is no
unit vector and is not made one.

Where we differ: the groups, which the released configs do not name as the code reads them, are ours; the reference adds
noise to a buffer that nothing reads, and here there is none.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int
from torch import Tensor, nn

from densevl.core.errors import UsageError, shortened
from densevl.encoders.clip import CLIPEncoder
from densevl.encoders.texts.embeddings import embed_texts
from densevl.encoders.tuning.beside import BesideWeights
from densevl.encoders.tuning.contracts import ClassTexts, Look
from densevl.encoders.tuning.learnt_tokens import LearntTokens
from densevl.encoders.tuning.prompted_texts import PromptedTexts, causal, opening

__all__ = ["GROUPS", "Experts", "Mixture", "mixed", "mixture_of"]

GROUPS: tuple[tuple[str, ...], ...] = (
    ("a photo of a {}.", "a photo of the {}.", "a photo of one {}.", "a photo of my {}."),
    ("a good photo of a {}.", "a bright photo of a {}.", "a clean photo of a {}.", "a close-up photo of a {}."),
    ("a bad photo of a {}.", "a blurry photo of a {}.", "a low resolution photo of a {}.", "a dark photo of a {}."),
    ("a drawing of a {}.", "a painting of a {}.", "a sketch of a {}.", "a rendering of a {}."),
    ("a photo of the small {}.", "a photo of the large {}.", "a photo of the hard to see {}."),
)
"""Groups of templates: plain, of good images, of bad ones, of images made by hand, and of sizes."""


class Mixture(NamedTuple):
    """What the texts of a step were made of.

    Attributes:
        soft: unit vectors of classes by the experts.
        names: of the classes.
        gate: of each image, what the experts are chosen by.
        chosen: experts of each image, the best first.
    """

    soft: Float[Tensor, "g k d"]
    names: tuple[str, ...]
    gate: Float[Tensor, "b g"]
    chosen: Int[Tensor, "b n"]


def mixed(
    soft: Float[Tensor, "g k d"], gate: Float[Tensor, "b g"], count: int
) -> tuple[Float[Tensor, "b k d"], Int[Tensor, "b n"]]:
    """Texts of classes of each image, and the experts that they are of.

    Args:
        soft: unit vectors of classes by the experts.
        gate: of each image.
        count: experts that an image takes.
    """
    highest, chosen = gate.topk(count, dim=1)
    return torch.einsum("bn,bnkd->bkd", highest.softmax(-1), soft[chosen]), chosen


class Experts(BesideWeights):
    """Learnt texts of several experts, mixed for each image.

    Args:
        encoder: its text tower is causal, as that of CLIP.
        groups: of each expert the templates, each with ``{}`` where the name goes; the first is what its tokens begin
            as.
        chosen: experts that an image takes.

    Attributes:
        vectors: learnt tokens of each expert, those before the name first.
        offset: what is added to each text.
        gate: from the vector of an image to the experts.
        last: what the latest texts were made of, for losses; None before.

    Raises:
        UsageError: where the encoder has a text tower of another kind, a template has no ``{}`` or no words around it,
            or there are fewer groups than are chosen.
    """

    towers: tuple[str, ...] = ("text",)
    conditional, reads_states = True, False

    def __init__(self, encoder: CLIPEncoder, groups: Sequence[Sequence[str]] = GROUPS, chosen: int = 2) -> None:
        super().__init__()
        self.groups, self.chosen = tuple(map(tuple, groups)), chosen
        _check_groups(self.groups, chosen)
        tower = causal(encoder.text)
        self.vectors, self.texts = nn.ParameterList(), []
        for place, (first, *_) in enumerate(self.groups):
            words = [one.strip() for one in first.split("{}")]
            around = [opening(tower, one, None)[0] for one in words if one]
            self.vectors.append(nn.Parameter(torch.cat(around)))
            before = len(around[0]) if words[0] else 0
            tokens = LearntTokens(partial(self._learnt, place), sum(map(len, around)))
            self.texts.append(PromptedTexts(tower, tokens, ending="", place=before))
        self.offset = nn.Parameter(torch.zeros(encoder.dim, device=encoder.device))
        self.gate = nn.Linear(encoder.dim, len(self.groups)).to(encoder.device)
        self.last: Mixture | None = None
        self._prototypes: tuple[tuple[str, ...], Tensor] | None = None

    def _learnt(self, expert: int, block: int) -> Tensor:
        """The tokens of an expert, for the first block, the only one that gets some."""
        return self.vectors[expert]

    @property
    def settings(self) -> Mapping[str, Any]:
        """Every setting."""
        return {"groups": [list(group) for group in self.groups], "chosen": self.chosen}

    def soft(self, names: Sequence[str]) -> Float32[Tensor, "g k d"]:
        """Unit vectors of classes by each expert.

        Args:
            names: of the classes, new ones too.

        Raises:
            UsageError: where there is no name, or one is too long.
        """
        return F.normalize(torch.stack([texts.raw(names).float() for texts in self.texts]) + self.offset, dim=-1)

    def prototypes(self, names: Sequence[str]) -> Float32[Tensor, "g k d"]:
        """Unit vectors of classes by the templates of each group: means of unit vectors; nothing in them is learnt.

        Args:
            names: of the classes; those of the latest list are kept.
        """
        key = tuple(names)
        if self._prototypes is None or self._prototypes[0] != key:
            with torch.no_grad():
                found = [embed_texts(self.texts[0].tower, key, group, "") for group in self.groups]
            self._prototypes = key, torch.stack(found)
        return self._prototypes[1]

    def class_vectors(self, names: Sequence[str], look: Look | None = None) -> Float32[Tensor, "b k d"]:
        """Vectors of classes, of each image by itself: mixtures, shorter than unit vectors.

        Args:
            names: of the classes, new ones too.
            look: at the images.

        Raises:
            UsageError: where there is no name, one is too long, or there is no look.
        """
        if look is None:
            raise UsageError("experts: class texts depend on images, and none is looked at")
        soft, gate = self.soft(names), self.gate(look.vectors.to(self.gate.weight.dtype))
        texts, chosen = mixed(soft, gate, self.chosen)
        self.last = Mixture(soft, tuple(names), gate, chosen)
        return texts


def mixture_of(class_texts: ClassTexts | None, loss: str) -> tuple[Mixture, Float[Tensor, "g k d"]]:
    """What the texts of a step were made of, and the prototypes of their classes.

    Args:
        class_texts: of the step.
        loss: that asks, for the error.

    Raises:
        UsageError: where they are no experts.
    """
    if not isinstance(class_texts, Experts) or class_texts.last is None:
        raise UsageError(f"{loss} keeps the experts of class texts in order; take class texts of the type experts")
    return class_texts.last, class_texts.prototypes(class_texts.last.names)


def _check_groups(groups: Sequence[Sequence[str]], chosen: int) -> None:
    """Refuse groups that no experts can be made of.

    Raises:
        UsageError: where they are some.
    """
    if not 1 <= chosen <= len(groups):
        raise UsageError(f"experts: {chosen} are chosen of {len(groups)} groups; choose 1 to the number of groups")
    for group in groups:
        if not group or isinstance(group, str):
            raise UsageError(f"experts: a group is a list of one template or more; got {shortened(repr(group))}")
        wrong = next((one for one in group if not isinstance(one, str) or one.count("{}") != 1), None)
        if wrong is not None:
            raise UsageError(f"experts: template {wrong!r} must hold {{}} once, where the class name goes")
        if not group[0].replace("{}", "").strip():
            raise UsageError(
                f"experts: template {group[0]!r} has no words to begin learning with; put some around {{}}"
            )
