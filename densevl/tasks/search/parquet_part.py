"""Parts as Parquet, for other programs: a row a region, with path, size and box of its own; ``densevl[parquet]``."""

from bisect import bisect_right
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from densevl.core.errors import UsageError
from densevl.tasks.search.headers import checked_part, damaged, header, read_header
from densevl.tasks.search.part import Part
from densevl.tasks.search.stores import Stored, coded

__all__ = ["open_parquet", "write_parquet"]

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError:
    raise UsageError("Parquet needs pyarrow: pip install 'densevl[parquet]'; or take safetensors") from None

GROUP = 8192
"""Rows that are read together."""

SIDES = ("x0", "y0", "x1", "y1")


def write_parquet(part: Part, path: Path) -> None:
    """Write a row a region: image, its height and width, x0, y0, x1, y1, score, mask (run-length code) and vector.

    The vector is written as the part keeps it; codes are multiplied by ``vector_scale``.
    """
    images = [part.images[owner] for owner in part.image_rows.tolist()]
    codes = [None if part.masks is None else part.masks[row] or None for row in range(len(part))]
    values, scales = coded(part.vectors, slice(0, len(part)))
    numbers = values.contiguous().numpy()
    columns: dict[str, Any] = {
        "image": pa.array([image.path for image in images], pa.string()),
        "height": pa.array([image.size[0] for image in images], pa.int32()),
        "width": pa.array([image.size[1] for image in images], pa.int32()),
        "owner": pa.array(part.image_rows.numpy()),
        **{side: pa.array(part.boxes[:, i].contiguous().numpy()) for i, side in enumerate(SIDES)},
        "score": pa.array(part.scores.numpy()),
        "mask": pa.array(codes, pa.string()),
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(numbers.reshape(-1)), numbers.shape[1]),
        **({} if scales is None else {"vector_scale": pa.array(scales.contiguous().numpy())}),
    }
    table = pa.table(columns).replace_schema_metadata(header(part))
    pq.write_table(table, path, row_group_size=GROUP, use_dictionary=["image"], compression="zstd")


def open_parquet(path: Path) -> Part:
    """Open a file of :func:`write_parquet`.

    Raises:
        UsageError: where it is damaged, or something else.
    """
    try:
        file = pq.ParquetFile(path, memory_map=True)
        texts = {name.decode(): text.decode() for name, text in (file.schema_arrow.metadata or {}).items()}
        read = read_header(texts, path)
        scaled = ["vector_scale"] if "vector_scale" in file.schema_arrow.names else []
        table = file.read(columns=["owner", *SIDES, "score", *scaled])
        kind = file.schema_arrow.field("vector").type
        groups = _Groups(file, path, kind.list_size, torch.from_numpy(np.zeros(0, kind.value_type.to_pandas_dtype())))
    except (OSError, pa.ArrowException, KeyError, AttributeError, UnicodeDecodeError) as error:
        raise damaged(path, error) from None
    values = {name: torch.from_numpy(table[name].to_numpy().copy()) for name in table.column_names}
    boxes = torch.stack([values[side] for side in SIDES], dim=1)
    vectors, store = Stored(groups, values.get("vector_scale")), texts.get("store", "float32")
    return checked_part(path, values["owner"], boxes, values["score"], vectors, _Codes(groups), read, store)


class _Groups:
    """The vectors of a file, whose row groups are read when they are needed."""

    def __init__(self, file: Any, path: Path, dim: int, nothing: Tensor) -> None:
        self.file, self.path, self._nothing = file, path, nothing.reshape(0, dim)
        counts = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
        self.ends = list(accumulate(counts))
        self.shape = (self.ends[-1] if self.ends else 0, dim)
        self.column = lru_cache(maxsize=2)(self._column)

    def __getitem__(self, rows: slice | Int64[Tensor, " m"]) -> Tensor:
        if not isinstance(rows, slice):
            groups, counts = torch.bucketize(rows, torch.tensor(self.ends), right=True).unique_consecutive(
                return_counts=True
            )
            pairs = zip(groups.tolist(), rows.split(counts.tolist()), strict=True)
            return torch.cat([self._nothing, *(self._vectors(group)[own - self.begin(group)] for group, own in pairs)])
        start, stop = rows.start, min(rows.stop, self.shape[0])
        if stop <= start:
            return self._nothing
        groups = range(bisect_right(self.ends, start), bisect_right(self.ends, stop - 1) + 1)
        return torch.cat(
            [self._vectors(group)[max(0, start - self.begin(group)) : stop - self.begin(group)] for group in groups]
        )

    def begin(self, group: int) -> int:
        return self.ends[group - 1] if group else 0

    def _vectors(self, group: int) -> Tensor:
        return torch.from_numpy(np.array(self.column(group, "vector").flatten()).reshape(-1, self.shape[1]))

    def _column(self, group: int, name: str) -> Any:
        try:
            return self.file.read_row_group(group, columns=[name])[name].combine_chunks()
        except (OSError, pa.ArrowException) as error:
            raise damaged(self.path, error) from None


class _Codes:
    """The masks of a file, whose row groups are read when they are needed."""

    def __init__(self, groups: _Groups) -> None:
        self._groups = groups

    def __len__(self) -> int:
        return self._groups.shape[0]

    def __getitem__(self, row: int) -> str:
        group = bisect_right(self._groups.ends, row)
        return self._groups.column(group, "mask")[row - self._groups.begin(group)].as_py() or ""
