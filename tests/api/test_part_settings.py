"""Settings of a model's parts, with changes."""

import pytest
import torch

from densevl.api.part_settings import offline_settings, torch_dtype, with_weights
from densevl.core.errors import UsageError


def test_torch_dtype():
    assert torch_dtype("float16") is torch_dtype(torch.float16) is torch.float16
    with pytest.raises(UsageError, match="float32, bfloat16, float16; got 'double'"):
        torch_dtype("double")


def test_other_weights_keep_the_architecture():
    encoder = {"type": "clip", "weights": "clip-vit-b16-laion2b"}
    assert with_weights(encoder, "mini-clip") == {"type": "clip", "weights": "mini-clip", "arch": None}
    assert with_weights(encoder, "mine.safetensors")["arch"] == "ViT-B-16"
    assert with_weights(encoder, "random:7") == {"type": "random-clip", "arch": "ViT-B-16", "seed": 7}
    assert with_weights({**encoder, "arch": "ViT-L-14"}, "mine.pt")["arch"] == "ViT-L-14"
    with pytest.raises(UsageError, match="random:SEED"):
        with_weights(encoder, "random:x")


def test_offline_reaches_all_that_names_weights():
    built = object()
    settings = {"type": "a", "parts": [{"weights": "b"}, {"weights": [1, 2]}, built], "inner": {"c": {"weights": "d"}}}
    assert offline_settings(settings) == {
        "type": "a",
        "parts": [{"weights": "b", "offline": True}, {"weights": [1, 2]}, built],
        "inner": {"c": {"weights": "d", "offline": True}},
    }
