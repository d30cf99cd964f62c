import numpy as np
import pytest
import torch

from densevl.benchmarks.speed.visual_prompts import draw_one_by_one
from densevl.core.errors import UsageError
from densevl.core.regions import Regions
from densevl.datasets.scenes import render
from densevl.regions.visual_prompts import (
    VISUAL_PROMPTS,
    Style,
    VisualPrompt,
    canvas,
    draw,
    marked_batches,
    marked_by_each,
)
from densevl.regions.visual_prompts.areas import outlines

NAMES = tuple(VISUAL_PROMPTS)
SQUARES = ("square", "square_flat")
"""Ours, which the published code does not draw."""


@pytest.fixture(scope="module")
def scene():
    return render(3, 1, (72, 96), count=(4, 4))


@pytest.fixture(scope="module")
def regions(scene) -> Regions:
    return Regions.from_masks(np.stack([item.mask for item in scene.objects]))


def test_the_table_is_that_of_the_method():
    families = {
        f"{extra}{area}_mask" for area in ("box", "circle") for extra in ("", "grayscale_", "blur_", "reverse_")
    }
    families |= {"mask", "grayscale_mask", "blur_mask", "reverse_mask", "box", "circle", "contour", "circle_blur"}
    assert set(NAMES) == families | {"crop", "keypoint", "cpt", "cpt_seg", "ov_seg", "blur_seg", *SQUARES}


@pytest.mark.parametrize("name", [name for name in NAMES if name not in SQUARES])
@pytest.mark.parametrize("size", [None, 40])
def test_compatible_drawing_is_the_published_procedure_to_the_byte(scene, regions, name, size):
    style = Style(blur=10, compatible=True)
    expected = draw_one_by_one(scene.image, regions, name, size, style)
    assert np.array_equal(draw(scene.image, regions, name, size, style), expected)


@pytest.mark.parametrize("compatible", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_many_regions_are_what_each_is_alone_and_in_batches(scene, regions, name, compatible):
    style = Style(compatible=compatible)
    before = scene.image.copy()
    whole = draw(scene.image, regions, name, 48, style)
    alone = [draw(scene.image, regions[i], name, 48, style) for i in range(len(regions))]
    assert np.array_equal(whole, np.concatenate(alone))
    batches = list(marked_batches(scene.image, regions, name, 48, style, at_once=2))
    assert [len(batch) for batch in batches] == [2, 2][: len(regions) // 2] + [1] * (len(regions) % 2)
    assert np.array_equal(whole, torch.cat(batches).permute(0, 2, 3, 1).numpy())
    assert np.array_equal(scene.image, before)
    assert whole.shape == (len(regions), 48, 64 if VISUAL_PROMPTS[name].frame == "image" else 48, 3)


@pytest.mark.parametrize(
    ("box", "shown", "inside"),
    [
        ((20, 10, 60, 30), (20, 0, 60, 40), (0, 10, 40, 30)),
        ((0, 50, 10, 70), (0, 50, 20, 70), (0, 0, 10, 20)),  # moved into the image
        ((0, 20, 96, 40), (0, 0, 96, 72), (0, 20, 96, 40)),  # the image holds no such square
    ],
)
def test_a_square_shows_a_box_with_its_surroundings(box, shown, inside):
    image = np.random.default_rng(0).integers(0, 256, (72, 96, 3), np.uint8)
    x0, y0, x1, y1 = shown
    regions = Regions.from_boxes([box], (72, 96))
    (drawn,) = draw(image, regions, "square", x1 - x0)
    (marked,) = draw(image, regions, "square_flat", x1 - x0)
    if x1 - x0 == y1 - y0:
        assert np.array_equal(drawn, image[y0:y1, x0:x1])
        left, top, right, bottom = inside
        assert np.array_equal(marked[top:bottom, left:right], drawn[top:bottom, left:right])
        flat = np.ones(marked.shape[:2], bool)
        flat[top:bottom, left:right] = False
        assert (marked[flat] == (124, 116, 104)).all()
    else:
        assert drawn.shape == (96, 96, 3)
        assert (marked[:20] == (124, 116, 104)).all()
        assert (marked[30:50] == drawn[30:50]).all()


@pytest.mark.parametrize("name", NAMES)
def test_tensors_are_drawn_as_arrays_are(scene, regions, name):
    pixels = torch.from_numpy(scene.image).permute(2, 0, 1)
    arrays = torch.from_numpy(draw(scene.image, regions, name)).permute(0, 3, 1, 2)
    assert torch.equal(draw(pixels, regions, name), arrays)
    floats = draw(pixels.float() / 255, regions, name)
    assert (floats * 255 - arrays.float()).abs().max() <= 1.01  # bytes are rounded after each step
    half = draw((pixels.float() / 255).bfloat16(), regions, name)
    assert half.dtype == torch.bfloat16
    assert (half.float() - floats).abs().max() < 0.02


def test_inside_and_outside_are_what_the_table_says(scene, regions):
    image, masks = scene.image, regions.masks.numpy()
    picture = image.astype(float)
    grey = np.rint(picture @ [0.299, 0.587, 0.114])[..., None].repeat(3, -1)
    tinted = picture * 0.7 + np.array([0, 0, 255]) * 0.3
    style = Style(fill="blue", alpha=0.3, flat=(1, 2, 3))
    for name, inside, outside in (
        ("mask", tinted, picture),
        ("reverse_mask", picture, tinted),
        ("grayscale_mask", picture, grey),
    ):
        drawn = draw(image, regions, name, style=style)
        for one, mask in zip(drawn, masks, strict=True):
            assert np.abs(one - np.where(mask[..., None], inside, outside)).max() <= 1
    blurred = draw(image, regions, "blur_mask")
    assert np.array_equal(blurred[0][masks[0]], image[masks[0]])
    steps = np.abs(np.diff(picture, axis=1))[~masks[0][:, 1:]].mean()
    assert np.abs(np.diff(blurred[0].astype(float), axis=1))[~masks[0][:, 1:]].mean() < 0.5 * steps
    assert np.array_equal(blurred[0][~(masks[0] | masks[1])], blurred[1][~(masks[0] | masks[1])])
    flat = draw(image, Regions.whole((72, 96)).with_masks(regions.masks[:1]), "ov_seg", 72, style)[0]
    assert (flat == [1, 2, 3]).all(-1).sum() > 1000


@pytest.mark.parametrize("name", ["box", "circle", "contour", "keypoint", "circle_blur"])
def test_outlines_are_as_wide_as_asked_and_in_the_colour(scene, regions, name):
    drawn = draw(scene.image, regions[:1], name, 72, Style(line=(9, 250, 3), thickness=16))[0]
    line = (drawn == [9, 250, 3]).all(-1)
    assert 0 < line.sum() < line.size / 2
    if name == "contour":
        assert np.array_equal(line, outlines(regions.masks[:1], 3)[0].numpy())
    if name == "circle_blur":
        circle = draw(scene.image, regions[:1], "circle", 72, Style(line=(9, 250, 3), thickness=16))[0]
        assert np.array_equal(line, (circle == [9, 250, 3]).all(-1))
        blurred = draw(scene.image, regions[:1], "blur_circle_mask", 72)[0]
        assert np.array_equal(drawn[~line], blurred[~line])


def test_a_style_means_the_same_at_every_size(scene, regions):
    small, large = (draw(scene.image, regions, "blur_mask", size) for size in (36, 72))
    shrunk = torch.nn.functional.interpolate(
        torch.from_numpy(large).permute(0, 3, 1, 2).float(), (36, 48), mode="bilinear", antialias=True
    )
    assert (shrunk.permute(0, 2, 3, 1) - torch.from_numpy(small).float()).abs().mean() < 2.5


def test_crops_with_a_margin_see_more(scene):
    region = Regions.from_boxes([[30, 20, 50, 40]], (72, 96))
    wide = draw(scene.image, region, "crop", 40, Style(margin=0.5))
    assert np.array_equal(wide, draw(scene.image, Regions.from_boxes([[20, 10, 60, 50]], (72, 96)), "crop", 40))
    whole = draw(scene.image, region, "crop", 40, Style(margin=100))
    assert np.array_equal(whole, draw(scene.image, Regions.whole((72, 96)), "crop", 40))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("compatible", [False, True])
def test_awkward_regions(scene, name, compatible):
    boxes = [[0, 0, 96, 72], [10.2, 10.3, 10.6, 10.7], [95, 0, 96, 72], [0, 71.5, 96, 72], [3, 3, 4, 4]]
    regions = Regions.from_boxes(boxes, (72, 96)).with_masks(torch.zeros(5, 72, 96, dtype=torch.bool))
    drawn = draw(scene.image, regions, name, 30, Style(compatible=compatible))
    assert drawn.shape == (5, 30, 40 if VISUAL_PROMPTS[name].frame == "image" else 30, 3)
    none = draw(scene.image, regions[:0], name, 30, Style(compatible=compatible))
    assert none.shape == (0, *drawn.shape[1:])


def test_an_empty_mask_is_marked_by_its_box(scene):
    boxes = Regions.from_boxes([[10, 10, 40, 50]], (72, 96))
    empty = boxes.with_masks(torch.zeros(1, 72, 96, dtype=torch.bool))
    assert np.array_equal(draw(scene.image, empty, "blur_mask"), draw(scene.image, boxes, "blur_box_mask"))


@pytest.mark.parametrize("compatible", [False, True])
def test_one_canvas_serves_all_prompts_of_an_image(scene, regions, compatible):
    names, style = ("blur_mask", "contour", "blur_box_mask", "grayscale_mask", "crop"), Style(compatible=compatible)
    drawn: dict[str, list[torch.Tensor]] = {name: [] for name in names}
    for prompt, pictures in marked_by_each(canvas(scene.image, 48, style), regions, names, at_once=3):
        drawn[prompt.name].append(pictures.permute(0, 2, 3, 1))
    for name, parts in drawn.items():
        assert np.array_equal(torch.cat(parts).numpy(), draw(scene.image, regions, name, 48, style))


def test_a_visual_prompt_of_ones_own(scene, regions):
    own = VisualPrompt("framed", "-", "box", inside="tint", outside="grey", outline=True)
    drawn = draw(scene.image, regions, own, 48)
    assert not np.array_equal(drawn, draw(scene.image, regions, "box", 48))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "blur_maks"}, "did you mean blur_mask"),
        ({"name": "blur_mask", "masks": False}, "mask maker"),
        ({"name": "box", "other": True}, "belong to an image of"),
    ],
)
def test_what_cannot_be_drawn_is_said(scene, regions, arguments, message):
    given = regions if arguments.get("masks", True) else regions.with_masks(None)
    given = Regions.whole((5, 5)) if arguments.get("other") else given
    with pytest.raises(UsageError, match=message):
        draw(scene.image, given, arguments["name"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"line": "rde"}, "did you mean red"),
        ({"fill": (0, 0, 300)}, "0..255"),
        ({"alpha": 2}, "alpha"),
        ({"blur": -1}, "blur"),
        ({"thickness": float("nan")}, "thickness"),
        ({"margin": 0.1, "compatible": True}, "margin"),
    ],
)
def test_styles_are_checked(settings, message):
    with pytest.raises(UsageError, match=message):
        Style(**settings)


def test_compatible_needs_bytes(regions):
    with pytest.raises(UsageError, match="uint8"):
        draw(torch.rand(3, 72, 96), regions, "box", style=Style(compatible=True))
