"""Colours that people can tell apart, those who see fewer colours among them.

Two colours are as far apart as the worst of four views says (:mod:`densevl.core.oklab`): with all cones, or without
those of one kind, where there are fewer colours and less is asked for.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice

import numpy as np
from jaxtyping import Float, Integer

from densevl.core.colour_words import colour_data, suggested
from densevl.core.errors import UsageError
from densevl.core.oklab import VISIONS, oklab, seen

__all__ = ["named_palette", "palette"]

Colour = tuple[int, int, int]

_SCALE = np.array([1 / {"normal": 1, "protanopia": 0.4, "deuteranopia": 0.4, "tritanopia": 0.3}[v] for v in VISIONS])
"""Weight of a distance in each view."""

DISTINCT = 0.1
"""Distance in Oklab from which on two colours of a legend are found without looking twice."""

SAME_HUE, SAME_LIGHTNESS = np.deg2rad(14), 0.2
"""Differences within which a colour still bears the name of another one."""

GREYISH = 0.04
"""Chroma in Oklab below which a colour has no hue."""

_GREEDY = 1024
"""Colours beyond these are distinct, but no longer placed as far apart as can be."""


@lru_cache(maxsize=8)
def palette(n: int) -> tuple[Colour, ...]:
    """``n`` distinct RGB colours, the same in every run; a shorter palette is the beginning of a longer one.

    It begins with colours made for people who see fewer (Okabe and Ito, 2008; Tol, 2021). Each further one is the one
    farthest from all before it (farthest-point search of Gonzalez, 1985). Nearly black, nearly white and greyish
    colours are left out, which drown in photographs, and glaring ones.

    Raises:
        UsageError: where ``n`` is negative or above 65536.
    """
    if not 0 <= n <= 65536:
        raise UsageError(f"a palette holds 0 to 65536 colours; got n = {n}")
    spread = _spread(min(n, _GREEDY))
    return spread + _remaining(n - len(spread), taken=set(spread))


@lru_cache(maxsize=64)
def named_palette(classes: tuple[tuple[str, ...], ...]) -> tuple[Colour, ...]:
    """A colour for each class: the one that its names suggest, or the next of :func:`palette`.

    What :func:`densevl.core.colour_words.suggested` gives comes in shades where several classes share it. A class
    minds those before it alone, so that one more class at the end leaves all others as they are.

    Args:
        classes: the synonyms of each class.

    Raises:
        UsageError: where there are more than 65536 classes.
    """
    hints = [suggested(names) for names in classes[:_GREEDY]]
    if not any(hints):
        return palette(len(classes))
    pool = _Pool(sorted({hint for hint in hints if hint is not None}), len(hints))
    chosen = [pool.take(number, hint) for number, hint in enumerate(hints)]
    return (*chosen, *_remaining(len(classes) - len(chosen), taken=set(chosen)))


class _Pool:
    """Colours to choose from, and how far each one is from those that were chosen."""

    def __init__(self, hints: Sequence[Colour], count: int) -> None:
        grid, places = _every()
        self.order = min(_GREEDY, _look_ahead(count))
        first, last = np.array(palette(self.order)), np.array(hints)
        self.colours = np.concatenate([first, grid, last])
        self.places = np.concatenate([_places(first), places, _places(last)], axis=1)
        self.nearest = np.full(len(self.colours), np.inf, np.float32)
        self.shades = {
            hint: self._shades(index, slice(self.order, self.order + len(grid)))
            for index, hint in enumerate(hints, self.order + len(grid))
        }

    def take(self, number: int, hint: Colour | None) -> Colour:
        """The first candidate that is distinct from all that were taken, or half as distinct where none is, and so on.

        Args:
            number: of colours that were taken.
            hint: the colour to stay near; None for the next of the palette.
        """
        following = np.arange(min(self.order, _look_ahead(number)))
        own = following if hint is None or (self.nearest[self.shades[hint]] <= 0).all() else self.shades[hint]
        least = DISTINCT**2
        while not (distinct := self.nearest[own] >= least).any():
            least /= 4
        index = int(own[distinct.argmax()])
        self.nearest = np.minimum(self.nearest, _distances(self.places, self.places[:, index]))
        self.nearest[index] = 0
        red, green, blue = self.colours[index].tolist()
        return red, green, blue

    def _shades(self, hint: int, among: slice) -> Integer[np.ndarray, " _"]:
        """Colours that bear the name of one: itself, and others, the nearest first."""
        (lightness, a, b), (own_lightness, own_a, own_b) = (
            oklab(self.colours[among]).T,
            oklab(self.colours[hint][None])[0],
        )
        chroma, own_chroma = np.hypot(a, b), np.hypot(own_a, own_b)
        if own_chroma < GREYISH:
            alike = chroma < GREYISH
        else:
            turned = np.arctan2(own_a * b - own_b * a, own_a * a + own_b * b)
            alike = (np.abs(turned) < SAME_HUE) & (chroma > max(GREYISH, own_chroma / 2))
        alike &= np.abs(lightness - own_lightness) < SAME_LIGHTNESS
        distances = _distances(self.places[:, among], self.places[:, hint])[alike]
        return np.array([hint, *(among.start + np.flatnonzero(alike)[np.argsort(distances, kind="stable")])])


def _look_ahead(number: int) -> int:
    """Colours of the palette among which the next one is looked for, where so many have been taken."""
    return 2 * number + 32


@lru_cache(maxsize=8)
def _spread(count: int) -> tuple[Colour, ...]:
    chosen = [tuple(colour) for colour in colour_data()["order"][:count]]
    if count > len(chosen):
        candidates = _candidates(step=12)
        places = _places(candidates)
        nearest = np.min([_distances(places, place) for place in _places(np.array(chosen)).swapaxes(0, 1)], axis=0)
        while len(chosen) < count:
            farthest = int(nearest.argmax())
            chosen.append(tuple(candidates[farthest].tolist()))
            nearest = np.minimum(nearest, _distances(places, places[:, farthest]))
    return tuple(chosen)


def _remaining(count: int, taken: set[Colour]) -> tuple[Colour, ...]:
    if count == 0:
        return ()
    candidates = np.random.default_rng(0).permutation(_candidates(step=5))
    free: Iterator[Colour] = (colour for colour in map(tuple, candidates.tolist()) if colour not in taken)
    return tuple(islice(free, count))


@lru_cache(maxsize=2)
def _candidates(step: int) -> Integer[np.ndarray, "n 3"]:
    """Colours of a regular grid that are not too dark, too light, too grey or too glaring."""
    grid = _grid(step)
    lightness, a, b = oklab(grid).T
    chroma = np.hypot(a, b)
    return grid[(lightness > 0.35) & (lightness < 0.92) & (chroma > 0.035) & (chroma < 0.22)]


def _grid(step: int) -> Integer[np.ndarray, "n 3"]:
    """Every colour of a regular grid, RGB in 0..255."""
    axis = np.arange(0, 256, step)
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)


@lru_cache(maxsize=1)
def _every() -> tuple[Integer[np.ndarray, "n 3"], Float[np.ndarray, "v n 4"]]:
    """Colours of a grid over all of sRGB, and their places."""
    grid = _grid(step=12)
    return grid, _places(grid)


def _places(rgb: Integer[np.ndarray, "n 3"]) -> Float[np.ndarray, "v n 4"]:
    """Colours in each view, scaled so that one distance means the same in all, with their squared lengths."""
    scaled = seen(rgb) * _SCALE[:, None, None]
    return np.concatenate([scaled, np.square(scaled).sum(-1, keepdims=True)], -1).astype(np.float32)


def _distances(places: Float[np.ndarray, "v n 4"], place: Float[np.ndarray, "v 4"]) -> Float[np.ndarray, " n"]:
    """Squared distances, each in the view in which the colours are alike most: |a|² - 2ab + |b|²."""
    factors = place * (-2, -2, -2, 0) + (0, 0, 0, 1)
    products = (places @ factors[..., None].astype(np.float32))[..., 0]
    return np.maximum(products + place[:, 3:], 0).min(0)
