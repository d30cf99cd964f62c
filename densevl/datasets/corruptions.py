"""Images that bad weather, bad cameras and bad transmission spoil, in five severities.

Source: Hendrycks and Dietterich, Benchmarking Neural Network Robustness to Common Corruptions and Perturbations, ICLR
2019, https://arxiv.org/abs/1903.12261, by the package ``imagecorruptions-imaug`` (Apache-2.0), for images of any size
as in Michaelis et al., Benchmarking Robustness in Object Detection, 2019, https://arxiv.org/abs/1907.07484.

Where we differ: ``elastic-transform`` is left out, since it moves things away from where masks and boxes say they are;
what is drawn at random depends on the image's number, the corruption and the severity alone, so that two models see the
same images.
"""

import zlib
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import UInt8

from densevl.core.errors import UsageError, suggestion

__all__ = ["CORRUPTIONS", "GROUPS", "LEAST_SIDE", "SEVERITIES", "chosen_corruptions", "corrupt", "corruptions_here"]

GROUPS: Mapping[str, Sequence[str]] = {
    "noise": ("gaussian-noise", "shot-noise", "impulse-noise"),
    "blur": ("defocus-blur", "glass-blur", "motion-blur", "zoom-blur"),
    "weather": ("snow", "frost", "fog", "brightness"),
    "digital": ("contrast", "pixelate", "jpeg-compression"),
    "further": ("speckle-noise", "gaussian-blur", "spatter", "saturate"),
}
"""Corruptions by their kind; the *further* ones are those that the paper chose settings on."""

CORRUPTIONS = tuple(name for names in GROUPS.values() for name in names)

SEVERITIES = (1, 2, 3, 4, 5)

LEAST_SIDE = 32
"""Shortest side of an image in pixels."""

SEEDED = ("impulse-noise", "glass-blur")
"""Corruptions that draw from a generator of their own."""


def corruptions_here() -> None:
    """Refuse corruptions where the package that makes them is not installed.

    Raises:
        UsageError: where it is missing.
    """
    try:
        import imagecorruptions  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"images are corrupted by the package imagecorruptions-imaug, which cannot be used here ({error}); "
            "pip install 'densevl[lenses]'"
        ) from error


def chosen_corruptions(names: Sequence[str]) -> tuple[str, ...]:
    """The corruptions of names and groups, in the order of :data:`CORRUPTIONS`.

    Args:
        names: of corruptions, of groups, or ``all``; underscores are taken for hyphens.

    Raises:
        UsageError: where one is unknown, or there is none.
    """
    known = {**{name: (name,) for name in CORRUPTIONS}, **GROUPS, "all": CORRUPTIONS}
    wanted = [str(name).replace("_", "-") for name in names]
    unknown = next((name for name in wanted if name not in known), None)
    if unknown is not None or not wanted:
        raise UsageError(f"corruption {unknown!r} is unknown; {suggestion(str(unknown), known)}")
    found = {name for one in wanted for name in known[one]}
    return tuple(name for name in CORRUPTIONS if name in found)


def corrupt(image: UInt8[np.ndarray, "H W 3"], name: str, severity: int, number: int = 0) -> UInt8[np.ndarray, "H W 3"]:
    """A corrupted image of the same size, the same each time.

    Args:
        image: RGB, each side of :data:`LEAST_SIDE` pixels or more.
        name: one of :data:`CORRUPTIONS`.
        severity: 1 to 5.
        number: of the image, which decides what is drawn at random.

    Raises:
        UsageError: where the image is too small, or name or severity are unknown.
    """
    (chosen,) = chosen_corruptions([name])
    if severity not in SEVERITIES:
        raise UsageError(f"severity: 1 to 5; got {severity!r}")
    if min(image.shape[:2]) < LEAST_SIDE:
        height, width = image.shape[:2]
        raise UsageError(f"an image of {height}×{width} pixels is too small to corrupt; {LEAST_SIDE} a side are needed")
    corruptions_here()
    import imagecorruptions

    seed = zlib.crc32(f"{number} {chosen} {severity}".encode())
    before = np.random.get_state()  # noqa: NPY002  (the package draws from the global generator)
    np.random.seed(seed)  # noqa: NPY002
    try:
        own = {"seed": seed} if chosen in SEEDED else {}
        spoilt = imagecorruptions.corrupt(image, severity, chosen.replace("-", "_"), **own)
    finally:
        np.random.set_state(before)  # noqa: NPY002
    return np.array(spoilt, dtype=np.uint8)  # some come in memory that cannot be written
