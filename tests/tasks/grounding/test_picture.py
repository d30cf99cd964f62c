"""The ranked picture."""

from dataclasses import replace

import cv2
import numpy as np

from densevl.core.drawing.legend import letter_size
from densevl.core.drawing.lettering import FAINT, INK, letter, line_height
from densevl.core.palette import palette
from densevl.tasks.grounding.picture import draw_ranking


def test_the_best_box_is_outlined_and_so_is_its_mask(grounder, scene, boxes):
    found = grounder.refer(scene.image, "star", boxes)
    picture = draw_ranking(scene.image, found, top=2)
    factor = 3
    assert picture.shape[0] >= factor * scene.image.shape[0]
    enlarged = scene.image.repeat(factor, 0).repeat(factor, 1)
    inside = found.mask.repeat(factor, 0).repeat(factor, 1)
    grey = (enlarged @ np.array([0.299, 0.587, 0.114]))[..., None]
    paler = 0.6 * enlarged + 0.2 * grey + 0.2 * 255
    expected = np.where(inside[..., None], enlarged, paler)
    changed = (np.abs(picture[: enlarged.shape[0], : enlarged.shape[1]] - expected) > 2).any(2)
    shown = np.zeros_like(changed)
    for index in found.ranking[:2]:
        x0, y0, x1, y1 = (factor * value for value in boxes[index])
        shown[max(0, y0 - 30) : y1 + 30, max(0, x0 - 30) : x1 + 30] = True
    assert not changed[~shown].any()
    x0, y0, x1, y1 = (factor * value for value in boxes[found.best])
    assert changed[y0, (x0 + x1) // 2]
    assert changed[(y0 + y1) // 2, x0]
    assert not changed[cv2.erode(inside.view(np.uint8), np.ones((41, 41), np.uint8), borderValue=0).astype(bool)].any()
    edge = inside & ~cv2.erode(inside.view(np.uint8), np.ones((3, 3), np.uint8), borderValue=0).astype(bool)
    assert changed[edge].mean() > 0.95


def test_one_region_is_enough(grounder, scene, boxes):
    assert draw_ranking(scene.image, grounder.refer(scene.image, "star", boxes[:1])).dtype == np.uint8


def test_the_legend_names_ranks_probabilities_and_boxes(grounder, scene, boxes):
    found = grounder.refer(scene.image, "star", boxes)
    picture = draw_ranking(scene.image, found, top=3)
    side = 3 * scene.image.shape[0]
    strip, size = picture[:, side:], letter_size(picture[:side, :side])
    probability = 100 * float(found.probabilities[found.ranking[1]])
    corners = ", ".join(str(value) for value in boxes[found.ranking[1]])
    for text, ink in (("star", INK), (f"{probability:.1f} %", INK), (f"({corners})", FAINT)):
        amount = letter(text, size, 1000)[..., None] / 255
        written = (255 * (1 - amount) + np.array(ink) * amount).astype(np.uint8)
        assert cv2.matchTemplate(strip, written, cv2.TM_SQDIFF_NORMED).min() < 1e-3, text


def test_plates_of_boxes_with_one_corner_do_not_hide_each_other(grounder, scene):
    found = grounder.refer(scene.image, "star", [[10, 10, 60, 60], [10, 10, 90, 90], [10, 10, 40, 80]])
    picture = draw_ranking(scene.image, found)[: 3 * scene.image.shape[0]]
    for colour in palette(4)[1:]:
        plates = cv2.erode((picture == colour).all(2).astype(np.uint8), np.ones((3, 3), np.uint8))
        assert plates.sum() > 50


def test_a_long_expression_is_wrapped_and_cut(grounder, scene, boxes):
    found = grounder.refer(scene.image, "star", boxes)
    short, long = (draw_ranking(scene.image, replace(found, expression=n * "star ")) for n in (1, 300))
    assert 0 <= long.shape[0] - short.shape[0] <= 3 * line_height(16)
    assert long.shape[1] <= max(short.shape[1], 800)
