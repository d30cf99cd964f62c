"""The confusion matrix of an evaluation as a file of numbers and as a picture."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

from jaxtyping import Int64
from torch import Tensor

from densevl.core.drawing.confusion import draw_confusion
from densevl.core.drawing.overlay import write_image
from densevl.core.files import atomic_write

__all__ = ["draw_confusion", "write_confusion"]


def write_confusion(path: str | Path, matrix: Int64[Tensor, "k k"], names: Sequence[str]) -> None:
    """Write pixel counts to ``path``, a ``.csv`` or a ``.json``, and a picture beside it, ``.png``.

    In the CSV a row is a true class and a column a given one, each named by its class. The JSON has ``classes`` and
    ``pixels``.

    Args:
        path: of the numbers.
        matrix: pixels by true class (rows) and given class (columns).
        names: of the classes.

    Raises:
        OutputError: where a file cannot be written.
    """
    path, counts = Path(path), matrix.tolist()
    with atomic_write(path) as temporary:
        if path.suffix == ".json":
            text = json.dumps({"classes": list(names), "pixels": counts}, ensure_ascii=False)
            temporary.write_text(text + "\n", encoding="utf-8")
        else:
            with temporary.open("w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(["true \\ given", *names])
                writer.writerows([name, *row] for name, row in zip(names, counts, strict=True))
    write_image(path.with_suffix(".png"), draw_confusion(matrix.numpy(), names))
