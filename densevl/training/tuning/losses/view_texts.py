"""Texts that depend on images are the same for two views of one image.

Source: Singha et al., GOPro: Generate and Optimize Prompts in CLIP using Self-Supervised Learning, BMVC 2023,
https://arxiv.org/abs/2308.11605; mainaksingha01/GOPro at commit e284586 (MIT): mean squared difference of the unit
vectors of the classes as an image and as a view of it write them.

Where we differ: in the reference all AugMix views of a batch are of its first image; here each is of its own.
"""

from jaxtyping import Float
from torch import Tensor

from densevl.core.errors import UsageError
from densevl.training.tuning.contracts import Step
from densevl.training.tuning.views import check_view, of_step

__all__ = ["ViewTexts", "text_distance"]


def text_distance(texts: Float[Tensor, "b k d"], others: Float[Tensor, "b k d"]) -> Float[Tensor, ""]:
    """Mean squared difference of class texts, over images, classes and numbers.

    Args:
        texts: unit vectors of classes by each image.
        others: unit vectors of classes by a view of each image.
    """
    return (texts - others).square().mean()


class ViewTexts:
    """The distance of class texts by an image from those by a view of it.

    Args:
        view: how the image is changed; one of :data:`densevl.training.tuning.views.VIEWS`.
        weight: factor of the term.

    Raises:
        UsageError: where the view is unknown.
    """

    def __init__(self, view: str = "augmix", weight: float = 1.0) -> None:
        self.view, self.weight = check_view(view), weight
        self.needs = (f"view:{view}",)

    def __call__(self, step: Step) -> Float[Tensor, ""]:
        """The term of a step.

        Raises:
            UsageError: where the class texts do not depend on images.
        """
        if step.class_texts is None or not step.class_texts.conditional:
            raise UsageError("view-texts compares texts that depend on images; take class texts such as style-context")
        others = step.class_texts.class_vectors(step.names, of_step(step, self.view))
        return self.weight * text_distance(step.texts, others)
