"""Bytes of safetensors files."""

import json

import torch
from safetensors import safe_open
from safetensors.torch import save

from densevl.core.tensor_bytes import tensor_bytes

TENSORS = {"b": torch.arange(5), "a": torch.rand(2, 3)}
TEXTS = {name: f"«{name}»" for name in ("format", "model", "images", "digest", "z", "y")}


def test_the_header_is_in_order_and_safetensors_reads_it(tmp_path):
    content = tensor_bytes(TENSORS, TEXTS)
    head = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert list(head) == sorted(head)
    assert list(head["__metadata__"]) == sorted(TEXTS)
    assert {tensor_bytes(TENSORS, dict(reversed(TEXTS.items()))) for _ in range(8)} == {content}
    (tmp_path / "it.safetensors").write_bytes(content)
    with safe_open(tmp_path / "it.safetensors", framework="pt") as file:
        assert file.metadata() == TEXTS
        assert all(torch.equal(file.get_tensor(name), value) for name, value in TENSORS.items())


def test_safetensors_itself_does_not_keep_the_order():
    """Once it does, this module can go."""
    assert len({save(TENSORS, TEXTS) for _ in range(30)}) > 1
