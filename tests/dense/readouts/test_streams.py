"""Streams against their equations in double precision."""

import pytest
import torch
import torch.nn.functional as F
from toys.clip import tiny_clip

from densevl.core.attention import run_block
from densevl.core.errors import UsageError
from densevl.dense.encoder import DenseEncoder
from densevl.dense.readouts.streams import StreamsReadout, self_attend
from densevl.encoders.contracts import Needs


@pytest.fixture(scope="module")
def tiny():
    made = tiny_clip()
    made.model.double().eval().requires_grad_(False)
    return made


@pytest.fixture(scope="module")
def images(tiny):
    side = tiny.patch_size
    return torch.rand(2, 3, 3 * side, 2 * side, generator=torch.Generator().manual_seed(0)).double()


@pytest.mark.parametrize(
    ("sources", "normalised", "iterations", "temperature"),
    [
        ("vkq", True, 1, None),
        ("v", False, 0, None),
        ("kq", True, 2, 3.0),
        ("q", False, 1, 0.5),
    ],
)
def test_the_equations(tiny, images, sources, normalised, iterations, temperature):
    def unit(vectors):
        return vectors / vectors.norm(dim=-1, keepdim=True) if normalised else vectors

    count = tiny.depth
    last = tiny.last_block(images, Needs(states=tuple(range(count))))
    found = StreamsReadout(count, sources, normalised, iterations, temperature)
    got = found(tiny.last_block(images, found.needs))
    for image in range(2):
        trained = last.states[0][image : image + 1]
        stream = trained
        for block in last.blocks:
            seen = block.norm_1(trained)
            parts = dict(zip("qkv", block.qkv(seen), strict=True))
            width = parts["v"].shape[3]
            tau = seen.norm(dim=2).mean() / width**0.5 if normalised else width**-0.5
            tau = tau if temperature is None else temperature
            mixed = 0
            for letter in sources:
                z = unit(parts[letter])
                for _ in range(iterations):
                    z = unit((tau * z @ z.mT).softmax(-1) @ z)
                mixed = mixed + (tau * z @ z.mT).softmax(-1) @ parts["v"] / len(sources)
            stream = stream + block.out(mixed)
            trained = run_block(block, trained)["out"]
        torch.testing.assert_close(got.grid[image : image + 1], last.on_grid(stream), rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(got.whole[image : image + 1], tiny.image.pool(trained), rtol=1e-9, atol=1e-9)


def test_one_scale_for_each_image():
    draw = torch.Generator().manual_seed(2)
    parts, values = torch.randn(2, 3, 5, 4, generator=draw), torch.randn(2, 3, 5, 4, generator=draw)
    scale = torch.tensor([0.5, 7.0])[:, None, None, None]
    for i in range(2):
        z = F.normalize(parts[i], dim=-1)
        expected = (scale[i] * z @ z.mT).softmax(-1) @ values[i]
        torch.testing.assert_close(self_attend(parts, values, scale)[i], expected)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"blocks": 0}, "one block or more"),
        ({"sources": "x"}, "letters v, k and q"),
        ({"sources": ""}, "letters v, k and q"),
        ({"iterations": -1}, "iterations from 0 on"),
        ({"temperature": 0.0}, "above 0"),
        ({"blocks": 3}, "beside the last 3 blocks, and the image tower of .* has 2; set blocks to as many or fewer"),
    ],
)
def test_bad_settings(tiny, settings, said):
    with pytest.raises(UsageError, match=said):
        DenseEncoder(tiny, {"type": "gem", **settings})
