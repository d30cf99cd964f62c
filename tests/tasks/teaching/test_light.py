"""Images in another light."""

import numpy as np
import pytest

from densevl.tasks.teaching.light import LIGHTS, relit

LEVELS = np.stack(np.meshgrid(np.arange(256), np.arange(3)), axis=2)[..., :1].repeat(3, 2).astype(np.uint8)


@pytest.mark.parametrize("light", LIGHTS)
def test_levels_follow_the_formula(light):
    power, warmth = LIGHTS[light]
    expected = 255 * (LEVELS / 255) ** power * np.array([warmth, 1, 1 / warmth])
    assert np.abs(relit(LEVELS, light) - expected.clip(0, 255)).max() <= 0.5 + 1e-9


def test_lights_differ_from_the_image_and_from_each_other():
    found = [LEVELS, *(relit(LEVELS, light) for light in LIGHTS)]
    pairs = [(one, other) for place, one in enumerate(found) for other in found[:place]]
    assert all(np.abs(one.astype(int) - other).max() > 10 for one, other in pairs)
