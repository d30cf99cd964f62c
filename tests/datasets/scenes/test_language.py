"""What is said of scenes, judged by a second reading of the words that shares no code with the writer."""

import re

import numpy as np

from densevl.datasets.scenes import CLASSES, COLOURS, GROUNDS, HELD_OUT, SHAPES, render
from densevl.datasets.scenes.language import (
    NEARNESS,
    RELATIONS,
    caption,
    class_descriptions,
    expressions,
    nearness,
    region_text,
    things,
)


def candidates(scene, phrase):
    """Objects that fit a plain noun phrase such as "small red star" or "star on sand"."""
    words = set(phrase.split())
    ground = words & set(GROUNDS)
    found = set()
    for i, item in enumerate(scene.objects):
        fits = not (words & set(SHAPES)) or item.shape in words
        fits &= not (words & set(COLOURS)) or item.colour in words
        fits &= not (words & {"small", "large"}) or item.size in words
        fits &= not ground or {item.ground} == ground
        if fits:
            found.add(i)
    return found


def referents(scene, text):
    """All objects that an expression may mean."""
    relation = re.fullmatch(rf"the (.+) ({'|'.join(RELATIONS)}) the (.+)", text)
    if relation:
        phrase, where, landmark = relation.groups()
        anchors = candidates(scene, landmark)
        assert len(anchors) == 1, text
        (anchor,) = anchors
        axis, sign = {"left of": (0, -1), "right of": (0, 1), "above": (1, -1), "below": (1, 1)}[where]
        level = scene.objects[anchor].centre[axis]
        offset = {i: sign * (item.centre[axis] - level) for i, item in enumerate(scene.objects)}
        return {i for i in candidates(scene, phrase) if i != anchor and offset[i] > 0}
    extreme = re.fullmatch(r"the (leftmost|rightmost|highest|lowest|largest|smallest) (.+)", text)
    if extreme:
        word, phrase = extreme.groups()
        key = {
            "leftmost": lambda o: o.centre[0], "rightmost": lambda o: -o.centre[0], "highest": lambda o: o.centre[1],
            "lowest": lambda o: -o.centre[1], "largest": lambda o: -o.radius, "smallest": lambda o: o.radius,
        }[word]  # fmt: skip
        return {min(candidates(scene, phrase), key=lambda i: key(scene.objects[i]))}
    return candidates(scene, text.removeprefix("the "))


def test_every_expression_means_its_target_alone(validation_scenes):
    kinds = set()
    for scene in validation_scenes:
        for expression in expressions(scene):
            assert referents(scene, expression.text) == {expression.target}, expression.text
            kinds.add(expression.kind)
    assert kinds == {"attribute", "ground", "extreme", "relation"}


def test_most_objects_can_be_referred_to(validation_scenes):
    reached = total = 0
    for scene in validation_scenes:
        reached += len({expression.target for expression in expressions(scene)})
        total += len(scene.objects)
    assert reached / total > 0.95


def test_captions_name_all_that_is_visible_and_nothing_else(validation_scenes):
    rng = np.random.default_rng(0)
    for scene in validation_scenes:
        words = re.findall("[a-z]+", caption(scene, rng))
        for vocabulary, present in (
            (SHAPES, [item.shape for item in scene.objects]),
            (COLOURS, [item.colour for item in scene.objects]),
            (GROUNDS, list(scene.grounds)),
        ):
            assert sorted(word for word in words if word in vocabulary) == sorted(present)
        assert "a orange" not in " ".join(words)


def test_region_texts_are_true(validation_scenes):
    for scene in validation_scenes:
        for i, item in enumerate(scene.objects):
            assert i in candidates(scene, region_text(item))


def test_things_are_the_names_with_their_parts(validation_scenes):
    for scene in validation_scenes:
        told = things(scene)
        assert {name for name, _, _ in told} == set(scene.names)
        assert len(set(told)) == len(told)
        for name, colour, shape in told:
            if name in GROUNDS:
                assert colour == shape == name
            else:
                assert name == f"{colour.removesuffix(' shape')} {shape}"


def test_held_out_pairs_are_in_no_training_text(training_scenes):
    forbidden = [f"{colour} {shape}" for colour, shape in HELD_OUT]
    rng = np.random.default_rng(0)
    for scene in training_scenes:
        text = f"{caption(scene, rng)} {things(scene)}"
        assert not any(pair in text for pair in forbidden)


def test_the_nearest_is_clearly_nearest():
    said = 0
    for index in range(12):
        scene = render(9, index)
        for expression in nearness(scene):
            phrase, _, landmark = re.fullmatch(rf"the (.+) ({'|'.join(NEARNESS)}) the (.+)", expression.text).groups()
            (anchor,) = candidates(scene, landmark)
            pixels = {}
            for i in candidates(scene, phrase.replace("shape", "")) - {anchor}:
                (x0, y0, x1, y1), (u0, v0, u1, v1) = scene.objects[i].box, scene.objects[anchor].box
                pixels[i] = np.hypot(max(0, x0 - u1, u0 - x1), max(0, y0 - v1, v0 - y1))
            first, second, *_ = sorted(pixels, key=pixels.get)
            assert expression.target == first, expression
            assert pixels[second] - pixels[first] > 0.08 * min(scene.labels.shape)
            said += 1
    assert said > 10


def test_a_class_has_fifty_texts_that_name_all_that_it_is():
    for name in CLASSES:
        found = class_descriptions(name)
        assert len({*found}) == len(found) == 50
        assert all(word in text.split() or f"{word}:" in text for text in found for word in name.split()), name
    assert "an orange star" in class_descriptions("orange star")
    assert "the large star on sand is orange" in class_descriptions("orange star")
