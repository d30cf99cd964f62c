"""Shape against colour, in scenes and in images whose cues disagree."""

import pytest

from densevl.benchmarks.lenses.cues import Cues
from densevl.benchmarks.lenses.source import Source
from densevl.core.drawing.overlay import write_image
from densevl.core.errors import UsageError
from densevl.datasets.scenes.unlike import unlike_things
from densevl.metrics.cues import NEITHER, SECOND, SHAPE

LENS = Cues()


def test_every_name_has_one_cue_right(mini):
    (image,) = LENS.gather(mini, Source(scenes=1, seed=101)).images
    (item,) = unlike_things(101, 0, 1).objects
    for name, kind in zip(image.options[0], image.kinds[0], strict=True):
        colour, shape = name.split()
        assert (shape == item.shape, colour == item.colour) == (kind == SHAPE, kind == SECOND)
    assert sorted(image.kinds[0]) == [SHAPE] * 7 + [SECOND] * 7


def test_every_answer_of_scenes_follows_one_cue(mini):
    found = LENS.examine(mini, LENS.gather(mini, Source(scenes=2, seed=101)))
    for way in ("image", "regions", "pixels"):
        figures = found.values[way]
        assert (figures["answers"], figures["neither"]) == (2, 0)
        assert figures["shape_share"] == pytest.approx(figures["shape"] / 2)


def test_images_named_by_their_shape_and_their_texture(mini, tmp_path):
    scene = unlike_things(101, 0, 1)
    shape, colour = scene.objects[0].shape, scene.objects[0].colour
    other = "grass"
    for name in (f"{shape}1-{colour}2.png", f"{shape}3-{shape}4.png", f"{other}1-{colour}1.png", "cat1-dog2.txt"):
        if name.endswith(".png"):
            write_image(tmp_path / shape / name, scene.image)
        else:
            (tmp_path / name).write_text("no image")
    found = LENS.gather(mini, Source(tmp_path))
    classes = sorted({shape, colour, other})
    assert [image.options for image in found.images] == [[classes]] * 2
    kinds = [dict(zip(classes, image.kinds[0], strict=True)) for image in found.images]
    assert {shape: SHAPE, colour: SECOND, other: NEITHER} in kinds
    assert {other: SHAPE, colour: SECOND, shape: NEITHER} in kinds
    values = LENS.examine(mini, found).values
    assert list(values) == ["image"]
    assert values["image"]["second_cue"] == "texture"


def test_other_images_are_refused(mini, tmp_path):
    with pytest.raises(UsageError, match="needs images whose shape and texture are of different classes"):
        LENS.gather(mini, Source(tmp_path))
