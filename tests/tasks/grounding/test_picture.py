"""The ranked picture."""

import cv2
import numpy as np

from densevl.tasks.grounding.picture import draw_ranking


def test_the_best_box_is_outlined_and_so_is_its_mask(grounder, scene, boxes):
    found = grounder.refer(scene.image, "star", boxes)
    picture = draw_ranking(scene.image, found, top=2)
    factor = 3
    assert picture.shape[0] >= factor * scene.image.shape[0]
    enlarged = scene.image.repeat(factor, 0).repeat(factor, 1)
    changed = (picture[: enlarged.shape[0], : enlarged.shape[1]] != enlarged).any(2)
    shown = np.zeros_like(changed)
    for index in found.ranking[:2]:
        x0, y0, x1, y1 = (factor * value for value in boxes[index])
        shown[max(0, y0 - 30) : y1 + 30, max(0, x0 - 30) : x1 + 30] = True
    assert not changed[~shown].any()
    x0, y0, x1, y1 = (factor * value for value in boxes[found.best])
    assert changed[y0, (x0 + x1) // 2]
    assert changed[(y0 + y1) // 2, x0]
    inside = found.mask.repeat(factor, 0).repeat(factor, 1)
    edge = inside & ~cv2.erode(inside.view(np.uint8), np.ones((3, 3), np.uint8), borderValue=0).astype(bool)
    assert changed[edge].mean() > 0.95


def test_one_region_is_enough(grounder, scene, boxes):
    assert draw_ranking(scene.image, grounder.refer(scene.image, "star", boxes[:1])).dtype == np.uint8
