"""True texts of a scene: names, things, captions, region texts and referring expressions."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from densevl.datasets.scenes.grounds import GROUNDS
from densevl.datasets.scenes.scene import COLOURS, SIZES, Scene, SceneObject
from densevl.datasets.scenes.shapes import SHAPES

__all__ = [
    "RELATIONS",
    "Description",
    "Expression",
    "caption",
    "class_descriptions",
    "expressions",
    "nearness",
    "region_text",
    "things",
]

RELATIONS = ("left of", "right of", "above", "below")
NEARNESS = ("near", "next to", "beside", "closest to")
MARGIN = 0.08
"""Least distance of two centres along an axis that tells them apart, as a fraction of the short side."""


@dataclass(frozen=True)
class Description:
    """Words that single objects out: each that is given must hold."""

    shape: str | None = None
    colour: str | None = None
    size: str | None = None
    ground: str | None = None

    def __str__(self) -> str:
        words = " ".join(word for word in (self.size, self.colour, self.shape or "shape") if word)
        return f"{words} on {self.ground}" if self.ground else words

    def matches(self, item: SceneObject) -> bool:
        return all(
            wanted in (None, found)
            for wanted, found in (
                (self.shape, item.shape),
                (self.colour, item.colour),
                (self.size, item.size),
                (self.ground, item.ground),
            )
        )


@dataclass(frozen=True)
class Expression:
    """A referring expression that holds for exactly one object of its scene.

    Attributes:
        target: index into ``Scene.objects``.
        kind: ``attribute``, ``extreme``, ``ground``, ``relation`` or ``nearness``.
    """

    text: str
    target: int
    kind: str


def things(scene: Scene) -> tuple[tuple[str, str, str], ...]:
    """Everything in the image by its class, its colour and its shape; a ground is called the same each time.

    ``("red circle", "red shape", "circle")`` or ``("grass", "grass", "grass")``; equal things stand once.
    """
    grounds = ((name, name, name) for name in scene.grounds)
    objects = ((item.name, f"{item.colour} shape", item.shape) for item in scene.objects)
    return tuple(dict.fromkeys((*grounds, *objects)))


def region_text(item: SceneObject) -> str:
    """All that is said of one object: "small red star on grass"."""
    size = None if item.size == "medium" else item.size
    return str(Description(item.shape, item.colour, size, item.ground))


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """A sentence that names every ground and object, the objects in random order."""
    phrases = []
    for i in rng.permutation(len(scene.objects)):
        item = scene.objects[i]
        size = item.size if item.size != "medium" and rng.random() < 0.4 else None
        phrases.append(_article(str(Description(item.shape, item.colour, size))))
    grounds = " and ".join(scene.grounds)
    return f"{_listed(phrases)} on {grounds}" if phrases else grounds


def class_descriptions(name: str) -> tuple[str, ...]:
    """Fifty texts that are true of things of a class, in sizes and places that it may have.

    Args:
        name: of a ground, or a colour and a shape such as "red circle".
    """
    sizes = [f"{size} " if size != "medium" else "" for size in SIZES]
    if name in GROUNDS:
        found = [name, f"the ground is {name}", f"a ground of {name}", f"{name} fills the scene", f"{name} and shapes"]
        found += [f"{_article(f'{size}{shape}')} on {name}" for size in sizes for shape in SHAPES]
        found += [f"{name} around {_article(f'{colour} shape')}" for colour in COLOURS]
        found += [f"{name} behind {_article(shape)}" for shape in SHAPES]
        found += [f"{name} under {_article(f'{size}shape')}" for size in sizes] + [f"{name} in a scene", f"only {name}"]
        return tuple(found)
    colour, _, shape = name.rpartition(" ")
    found = [_article(f"{size}{name}") for size in sizes]
    found += [f"{_article(f'{size}{name}')} on {ground}" for size in sizes for ground in GROUNDS]
    found += [f"the {size}{shape} on {ground} is {colour}" for size in sizes for ground in GROUNDS]
    found += [f"{_article(f'{size}{shape}')} that is {colour}" for size in sizes]
    found += [f"there is {_article(name)}", f"a drawing of {_article(name)}", f"one {name}", f"the {name} in the scene"]
    return (
        *found,
        f"{_article(shape)} in {colour}",
        f"a shape: {name}",
        f"this {shape} is {colour}",
        f"{name} on ground",
    )


def _article(phrase: str) -> str:
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def _listed(phrases: Sequence[str]) -> str:
    return phrases[0] if len(phrases) == 1 else f"{', '.join(phrases[:-1])} and {phrases[-1]}"


def expressions(scene: Scene) -> tuple[Expression, ...]:
    """Every referring expression of the grammar that is true of exactly one object, and clearly so.

    Attributes ("the small star"), grounds ("the star on sand"), extremes ("the leftmost star", "the largest shape")
    and relations to an object that is itself described without doubt ("the star left of the blue ring").
    """
    found = dict.fromkeys((*_by_attribute(scene), *_by_ground(scene), *_by_extreme(scene), *_by_relation(scene)))
    return tuple(found)


def _descriptions(item: SceneObject) -> Iterable[Description]:
    size = None if item.size == "medium" else item.size
    sizes = (None, size) if size else (None,)
    for word in sizes:
        yield Description(item.shape, item.colour, word)
        yield Description(item.shape, None, word)
        yield Description(None, item.colour, word)


def _targets(scene: Scene, description: Description) -> list[int]:
    return [i for i, item in enumerate(scene.objects) if description.matches(item)]


def _by_attribute(scene: Scene) -> Iterable[Expression]:
    for i, item in enumerate(scene.objects):
        for description in _descriptions(item):
            if _targets(scene, description) == [i]:
                yield Expression(f"the {description}", i, "attribute")


def _by_ground(scene: Scene) -> Iterable[Expression]:
    """Expressions that the ground decides, where each candidate lies clearly on one ground."""
    for i, item in enumerate(scene.objects):
        for description in (
            Description(item.shape, item.colour),
            Description(item.shape),
            Description(None, item.colour),
        ):
            rivals = _targets(scene, description)
            clear = all(scene.objects[j].settled for j in rivals)
            if len(rivals) > 1 and clear and sum(scene.objects[j].ground == item.ground for j in rivals) == 1:
                yield Expression(f"the {description} on {item.ground}", i, "ground")


def _by_extreme(scene: Scene) -> Iterable[Expression]:
    """The leftmost, rightmost, highest, lowest, largest or smallest of two or more that share a description."""
    gap = MARGIN * min(scene.labels.shape)
    kinds = {Description(item.shape) for item in scene.objects} | {
        Description(None, item.colour) for item in scene.objects
    }
    for description in sorted(kinds | {Description()}, key=str):
        rivals = _targets(scene, description)
        if len(rivals) < 2:
            continue
        items = [scene.objects[i] for i in rivals]
        x, y = (np.array([item.centre[axis] for item in items]) for axis in (0, 1))
        radius = np.array([item.radius for item in items])
        for word, value, least in (
            ("leftmost", -x, gap),
            ("rightmost", x, gap),
            ("highest", -y, gap),
            ("lowest", y, gap),
            ("largest", np.log(radius), 0.15),
            ("smallest", -np.log(radius), 0.15),
        ):
            order = np.argsort(value)
            if value[order[-1]] - value[order[-2]] > least:
                yield Expression(f"the {word} {description}", rivals[order[-1]], "extreme")


def _by_relation(scene: Scene) -> Iterable[Expression]:
    gap = MARGIN * min(scene.labels.shape)
    for j, anchor in enumerate(scene.objects):
        landmark = next((d for d in _descriptions(anchor) if _targets(scene, d) == [j]), None)
        if landmark is None:
            continue
        for i, item in enumerate(scene.objects):
            if i == j:
                continue
            for relation in RELATIONS:
                if _lead(item, anchor, relation) <= gap:
                    continue
                for description in _descriptions(item):
                    rivals = [k for k in _targets(scene, description) if k not in (i, j)]
                    # A rival must be clearly on the other side: one that is level with the landmark is a doubt.
                    if all(_lead(scene.objects[k], anchor, relation) < -gap for k in rivals):
                        yield Expression(f"the {description} {relation} the {landmark}", i, "relation")


def nearness(scene: Scene) -> tuple[Expression, ...]:
    """Every expression such as "the star next to the blue ring" that is clearly true of just one of several stars.

    The gap between the boxes of the one and the ring is smaller than that of every other star by :data:`MARGIN` of the
    short side. Each of the four ways to say it is used in turn.
    """
    margin = MARGIN * min(scene.labels.shape)
    found: dict[tuple[str, str], int] = {}
    for j, anchor in enumerate(scene.objects):
        landmark = next((d for d in _descriptions(anchor) if _targets(scene, d) == [j]), None)
        others = [item for i, item in enumerate(scene.objects) if i != j]
        kinds = {Description(item.shape) for item in others} | {Description(None, item.colour) for item in others}
        for description in sorted(kinds | {Description()}, key=str):
            rivals = sorted((_gap(scene.objects[i], anchor), i) for i in _targets(scene, description) if i != j)
            if landmark is not None and len(rivals) > 1 and rivals[1][0] - rivals[0][0] > margin:
                found[str(description), str(landmark)] = rivals[0][1]
    return tuple(
        Expression(f"the {description} {NEARNESS[n % len(NEARNESS)]} the {landmark}", target, "nearness")
        for n, ((description, landmark), target) in enumerate(found.items())
    )


def _gap(item: SceneObject, other: SceneObject) -> float:
    """Length of the shortest line between the boxes of two objects, in pixels."""
    sides = ((item.box[axis] - other.box[axis + 2], other.box[axis] - item.box[axis + 2]) for axis in (0, 1))
    return math.hypot(*(max(0.0, *apart) for apart in sides))


def _lead(item: SceneObject, anchor: SceneObject, relation: str) -> float:
    """Distance of an object on the named side of another, in pixels between centres."""
    axis, sign = {"left of": (0, -1), "right of": (0, 1), "above": (1, -1), "below": (1, 1)}[relation]
    return sign * (item.centre[axis] - anchor.centre[axis])
