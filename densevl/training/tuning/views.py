"""Views: how images are changed so that tuning sees each differently.

Sources: He et al., Momentum Contrast, CVPR 2020, https://arxiv.org/abs/1911.05722, and its second version
(https://arxiv.org/abs/2003.04297) for ``moco``; Hendrycks et al., AugMix, ICLR 2020, https://arxiv.org/abs/1912.02781;
Cubuk et al., RandAugment, NeurIPS 2020, https://arxiv.org/abs/1909.13719, for ``strong``. torchvision computes them.

Every image of a batch is changed by itself, as a generator draws it.
"""

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from densevl.core.errors import UsageError, suggestion
from densevl.encoders.tuning.contracts import Look
from densevl.training.tuning.contracts import Step

__all__ = ["VIEWS", "changed", "check_view", "of_step"]

Change = Callable[[Tensor], Tensor]


def _moco(size: tuple[int, int]) -> Change:
    from torchvision.transforms import v2

    return v2.Compose(
        [
            v2.RandomResizedCrop(size, (0.2, 1.0), antialias=True),
            v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], 0.8),
            v2.RandomGrayscale(0.2),
            v2.RandomApply([v2.GaussianBlur(_odd(0.1 * min(size)), (0.1, 2.0))], 0.5),
            v2.RandomHorizontalFlip(),
        ]
    )


def _augmix(size: tuple[int, int]) -> Change:
    from torchvision.transforms import v2

    return v2.Compose([v2.ToDtype(torch.uint8, scale=True), v2.AugMix(), v2.ToDtype(torch.float32, scale=True)])


def _strong(size: tuple[int, int]) -> Change:
    from torchvision.transforms import v2

    return v2.Compose(
        [
            v2.RandomResizedCrop(size, (0.5, 1.0), antialias=True),
            v2.RandomHorizontalFlip(),
            v2.ToDtype(torch.uint8, scale=True),
            v2.RandAugment(2, 9),
            v2.ToDtype(torch.float32, scale=True),
        ]
    )


def _crop(size: tuple[int, int]) -> Change:
    from torchvision.transforms import v2

    return v2.Compose([v2.RandomResizedCrop(size, (0.5, 1.0), antialias=True), v2.RandomHorizontalFlip()])


def _same(size: tuple[int, int]) -> Change:
    return lambda image: image


VIEWS: Mapping[str, Callable[[tuple[int, int]], Change]] = {
    "same": _same,
    "crop": _crop,
    "moco": _moco,
    "augmix": _augmix,
    "strong": _strong,
}
"""Changes of images by name: *crop* shows a part or its mirror image, *moco* and *strong* change colours, too."""


def check_view(name: str) -> str:
    """The name of a view.

    Raises:
        UsageError: where it is unknown.
    """
    if name not in VIEWS:
        raise UsageError(f"view {name!r} is unknown; {suggestion(name, VIEWS)}")
    return name


def changed(images: Float[Tensor, "b 3 H W"], view: str, generator: torch.Generator) -> Float[Tensor, "b 3 H W"]:
    """Images that are changed, each by itself; the size stays.

    Args:
        images: RGB in [0, 1].
        view: one of :data:`VIEWS`.
        generator: draws the changes; the global generator stays as it was.

    Raises:
        UsageError: where the view is unknown.
    """
    change = VIEWS[check_view(view)]((images.shape[2], images.shape[3]))
    seed = int(torch.randint(2**31, (), generator=generator))
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return torch.stack([change(image) for image in images]).clamp(0, 1)


def of_step(step: Step, view: str) -> Look:
    """A view of the examples of a step.

    Raises:
        UsageError: where the examples cannot be changed.
    """
    if view not in step.views:
        raise UsageError(f"the view {view!r} changes images, and examples of pixels have none; tune --for regions")
    return step.views[view]


def _odd(size: float) -> int:
    return 2 * (int(size) // 2) + 1
