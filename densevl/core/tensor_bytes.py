"""Tensors as the bytes of a safetensors file: equal tensors and texts give equal bytes."""

import json
from collections.abc import Mapping

from safetensors.torch import save
from torch import Tensor

__all__ = ["tensor_bytes"]


def tensor_bytes(tensors: Mapping[str, Tensor], texts: Mapping[str, str]) -> bytes:
    """A safetensors file whose header is in the order of its names; safetensors alone writes texts in one of chance.

    To write these bytes makes a full disk an error of the system, as it is not where safetensors writes the file.

    Args:
        tensors: contiguous, by name.
        texts: the metadata, by name.
    """
    content = save(dict(tensors), dict(texts))
    end = 8 + int.from_bytes(content[:8], "little")
    head = json.dumps(json.loads(content[8:end]), sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)  # the tensors begin at a multiple of eight bytes
    return b"".join([len(head).to_bytes(8, "little"), head, memoryview(content)[end:]])
