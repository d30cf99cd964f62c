"""Parts as safetensors: tensors by name and a header of texts; vectors are mapped into memory, not read."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from safetensors import SafetensorError, safe_open
from torch import Tensor

from densevl.core.errors import UsageError
from densevl.core.tensor_bytes import tensor_bytes
from densevl.tasks.search.headers import checked_part, damaged, header, read_header
from densevl.tasks.search.part import Part
from densevl.tasks.search.stores import Stored, coded

__all__ = ["open_safetensors", "write_safetensors"]

NAMES = ("vectors", "boxes", "scores", "image_rows")


def write_safetensors(part: Part, path: Path) -> None:
    """Write ``vectors`` (n, d), ``boxes`` (n, 4), ``scores``, ``image_rows`` (n,), and the codes of masks.

    Vectors are written as the part keeps them; the scales of codes are ``vector_scales`` (n,).
    """
    values, scales = coded(part.vectors, slice(0, len(part)))
    tensors: dict[str, Tensor] = {
        "vectors": values.contiguous(),
        **({} if scales is None else {"vector_scales": scales.contiguous()}),
        "boxes": part.boxes.contiguous(),
        "scores": part.scores.contiguous(),
        "image_rows": part.image_rows.contiguous(),
    }
    if part.masks is not None:
        codes = [part.masks[row].encode("ascii") for row in range(len(part))]
        tensors["mask_codes"] = torch.from_numpy(np.frombuffer(b"".join(codes), np.uint8).copy())
        tensors["mask_ends"] = torch.tensor([len(code) for code in codes], dtype=torch.int64).cumsum(0)
    path.write_bytes(tensor_bytes(tensors, header(part)))


def open_safetensors(path: Path) -> Part:
    """Open a file of :func:`write_safetensors`.

    Raises:
        UsageError: where it is damaged, or something else.
    """
    try:
        file: Any = safe_open(path, framework="pt")
        texts, names = file.metadata() or {}, set(file.keys())
    except (OSError, SafetensorError, ValueError) as error:
        raise damaged(path, error) from None
    read = read_header(texts, path)
    if not names.issuperset(NAMES):
        raise damaged(path, f"without {', '.join(sorted(set(NAMES) - names))}")
    vectors = Stored(_Mapped(file, "vectors"), file.get_tensor("vector_scales") if "vector_scales" in names else None)
    if len(vectors.shape) != 2:
        raise UsageError(f"{path}: expected vectors (n, d); got {tuple(vectors.shape)}")
    image_rows, boxes, scores = (file.get_tensor(name) for name in ("image_rows", "boxes", "scores"))
    masks = _Codes(file) if {"mask_codes", "mask_ends"} <= names else None
    return checked_part(path, image_rows, boxes, scores, vectors, masks, read, texts.get("store", "float32"))


class _Mapped:
    """The rows of a tensor in a file."""

    def __init__(self, file: Any, name: str) -> None:
        self._slice = file.get_slice(name)
        self.shape = tuple(self._slice.get_shape())

    def __getitem__(self, rows: slice | Int64[Tensor, " m"]) -> Tensor:
        if isinstance(rows, slice):
            values: Tensor = self._slice[rows.start : rows.stop]
            return values
        return self._slice[0 : self.shape[0]][rows]  # only the pages of these rows are read


class _Codes:
    """Texts that lie end to end in a file."""

    def __init__(self, file: Any) -> None:
        self._codes, self._ends = file.get_slice("mask_codes"), file.get_tensor("mask_ends")

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, row: int) -> str:
        start, end = int(self._ends[row - 1]) if row else 0, int(self._ends[row])
        return self._codes[start:end].numpy().tobytes().decode("ascii")
