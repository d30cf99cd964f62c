"""Colours that people can tell apart."""

from functools import lru_cache
from itertools import islice

import numpy as np

from densevl.core.errors import UsageError

__all__ = ["palette"]

_FIRST = (
    *((66, 133, 244), (238, 110, 50), (52, 168, 96), (252, 202, 52), (152, 88, 214)),
    *((60, 210, 220), (236, 72, 148), (132, 84, 52), (168, 220, 72), (186, 32, 48)),
)
"""Colours of the first few classes, from which the search starts."""

_GREEDY = 1024
"""Colours beyond these are distinct, but no longer placed as far apart as can be."""

_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_OPPONENTS = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
"""Linear sRGB to cone responses, and their cube roots to Oklab."""


@lru_cache(maxsize=8)
def palette(n: int) -> tuple[tuple[int, int, int], ...]:
    """``n`` distinct RGB colours, the same in every run; a shorter palette is the beginning of a longer one.

    Each colour is the one farthest from all colours before it (farthest-point search of Gonzalez, 1985) in Oklab
    (Ottosson, 2020), where distance follows what people see. Nearly black, nearly white and greyish colours are left
    out: they drown in photographs.

    Raises:
        UsageError: where ``n`` is negative or above 65536.
    """
    if not 0 <= n <= 65536:
        raise UsageError(f"a palette holds 0 to 65536 colours; got n = {n}")
    spread = _spread(min(n, _GREEDY))
    return spread + _remaining(n - len(spread), taken=set(spread))


def _spread(count: int) -> tuple[tuple[int, int, int], ...]:
    chosen = list(_FIRST[:count])
    if count > len(chosen):
        candidates = _candidates(step=12)
        places = _oklab(candidates)
        nearest = np.min([_distance(places, place) for place in _oklab(np.array(chosen)).T], axis=0)
        while len(chosen) < count:
            farthest = int(nearest.argmax())
            chosen.append(tuple(candidates[farthest].tolist()))
            nearest = np.minimum(nearest, _distance(places, places[:, farthest]))
    return tuple(chosen)


def _remaining(count: int, taken: set[tuple[int, int, int]]) -> tuple[tuple[int, int, int], ...]:
    if count == 0:
        return ()
    candidates = np.random.default_rng(0).permutation(_candidates(step=5))
    free = (colour for colour in map(tuple, candidates.tolist()) if colour not in taken)
    return tuple(islice(free, count))


def _candidates(step: int) -> np.ndarray:
    """Colours of a regular grid that are neither too dark, too light nor too grey, (n, 3) in 0..255."""
    axis = np.arange(0, 256, step)
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    lightness, a, b = _oklab(grid)
    return grid[(lightness > 0.35) & (lightness < 0.95) & (np.hypot(a, b) > 0.035)]


def _oklab(rgb: np.ndarray) -> np.ndarray:
    """Oklab coordinates (3, n) of sRGB colours in 0..255, (n, 3)."""
    srgb = rgb / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    cones = np.cbrt(_CONES @ linear.T)
    return _OPPONENTS @ cones


def _distance(places: np.ndarray, place: np.ndarray) -> np.ndarray:
    return np.square(places - place[:, None]).sum(0)
