import numpy as np
import pytest
import torch
from toys.dense import dense

from densevl.dense.readouts.maskclip import MaskCLIPReadout


@pytest.mark.parametrize("name", ["square", "wide", "background"])
def test_features_agree_with_the_published_code(golden, rules, rule_encoder, name):
    reference = np.load(golden / f"dinoiser_{name}.npz")
    pixels = rules.rule_image(str(reference["image"][0]), *reference["size"])
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255
    found = dense(rule_encoder, image, MaskCLIPReadout()).grid[0, ::8]
    expected = torch.from_numpy(reference["maskclip_features"])
    assert found.shape == expected.shape
    assert (found - expected).abs().max() < 1e-3 * expected.abs().max()
