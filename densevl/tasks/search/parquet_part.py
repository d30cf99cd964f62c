"""Parts as Parquet, for other programs: a row a region, with path, size and box of its own; ``densevl[parquet]``."""

from bisect import bisect_right
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from densevl.core.errors import UsageError
from densevl.tasks.search.headers import checked_part, damaged, header, read_header
from densevl.tasks.search.part import Part

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
    """Write a row a region: image, its height and width, x0, y0, x1, y1, score, mask (run-length code) and vector."""
    images = [part.images[owner] for owner in part.image_rows.tolist()]
    codes = [None if part.masks is None else part.masks[row] or None for row in range(len(part))]
    vectors = part.vectors[0 : len(part)].contiguous().numpy()
    columns: dict[str, Any] = {
        "image": pa.array([image.path for image in images], pa.string()),
        "height": pa.array([image.size[0] for image in images], pa.int32()),
        "width": pa.array([image.size[1] for image in images], pa.int32()),
        "owner": pa.array(part.image_rows.numpy()),
        **{side: pa.array(part.boxes[:, i].contiguous().numpy()) for i, side in enumerate(SIDES)},
        "score": pa.array(part.scores.numpy()),
        "mask": pa.array(codes, pa.string()),
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1]),
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
        table = file.read(columns=["owner", *SIDES, "score"])
        dim = file.schema_arrow.field("vector").type.list_size
    except (OSError, pa.ArrowException, KeyError, AttributeError, UnicodeDecodeError) as error:
        raise damaged(path, error) from None
    values = {name: torch.from_numpy(table[name].to_numpy().copy()) for name in table.column_names}
    boxes = torch.stack([values[side] for side in SIDES], dim=1)
    groups = _Groups(file, path, dim)
    return checked_part(path, values["owner"], boxes, values["score"], groups, _Codes(groups), read)


class _Groups:
    """The vectors of a file, whose row groups are read when they are needed."""

    def __init__(self, file: Any, path: Path, dim: int) -> None:
        self.file, self.path = file, path
        counts = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
        self.ends = list(accumulate(counts))
        self.shape = (self.ends[-1] if self.ends else 0, dim)
        self.column = lru_cache(maxsize=2)(self._column)

    def __getitem__(self, rows: slice) -> Tensor:
        start, stop = rows.start, min(rows.stop, self.shape[0])
        first, last = bisect_right(self.ends, start), bisect_right(self.ends, stop - 1)
        if stop <= start:
            return torch.zeros(0, self.shape[1])
        found = []
        for group in range(first, last + 1):
            begin = self.ends[group - 1] if group else 0
            values = np.array(self.column(group, "vector").flatten()).reshape(-1, self.shape[1])
            found.append(torch.from_numpy(values[max(0, start - begin) : stop - begin]))
        return torch.cat(found)

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
        begin = self._groups.ends[group - 1] if group else 0
        return self._groups.column(group, "mask")[row - begin].as_py() or ""
