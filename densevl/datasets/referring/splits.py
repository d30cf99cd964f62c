"""The benchmarks of referring expressions, their splits, and what models may have seen of them.

Sources: RefCOCO and RefCOCO+ (Yu et al., Modeling Context in Referring Expressions, ECCV 2016), split by UNC; RefCOCOg
(Mao et al., CVPR 2016), split by Google over objects and by UMD (Nagaraja et al., ECCV 2016) over images. The numbers
of expressions are those that the papers evaluate on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from densevl.core.errors import UsageError, suggestion

__all__ = ["LEAK", "Benchmark", "benchmark", "benchmark_of_path", "split_of_path"]

LEAK = (
    "the images of all splits, val and test too, are COCO train images: models trained on COCO boxes, masks or "
    "captions have seen them"
)


@dataclass(frozen=True)
class Benchmark:
    """One benchmark with one split of it.

    Attributes:
        name: ``refcoco``, ``refcoco+`` or ``refcocog``.
        title: as papers write it.
        splits_by: who split it: ``unc``, ``umd`` or ``google``.
        splits: number of expressions of each split; None where no paper says it.
        leaks: what the splits share, or models may have seen.
    """

    name: str
    title: str
    splits_by: str
    splits: Mapping[str, int | None]
    leaks: tuple[str, ...] = (LEAK,)

    def split(self, name: str) -> str:
        """A split as the benchmark writes it, from ``testa``, ``validation`` and the like.

        Raises:
            UsageError: where there is no such split.
        """
        known = {split.lower(): split for split in self.splits}
        key = "val" if name.lower() == "validation" else name.lower()
        if key not in known:
            raise UsageError(
                f"{self.title} split by {self.splits_by} has no split {name!r}; {suggestion(name, self.splits)}"
            )
        return known[key]


_BY_OBJECTS = "this split is over objects: its val images are train images of the benchmark itself too"
_BENCHMARKS = (
    Benchmark("refcoco", "RefCOCO", "unc", {"train": 120624, "val": 10834, "testA": 5657, "testB": 5095}),
    Benchmark("refcoco+", "RefCOCO+", "unc", {"train": 120191, "val": 10758, "testA": 5726, "testB": 4889}),
    Benchmark("refcocog", "RefCOCOg", "umd", {"train": 80512, "val": 4896, "test": 9602}),
    Benchmark("refcocog", "RefCOCOg", "google", {"train": 85474, "val": 9536}, (LEAK, _BY_OBJECTS)),
    Benchmark("refcoco", "RefCOCO", "google", {"train": None, "val": None, "test": None}),
)
"""The first of a name is the usual split."""


def benchmark(name: str, splits_by: str | None = None) -> Benchmark:
    """The benchmark of a name.

    Args:
        name: ``refcoco``, ``refcoco+`` (or ``refcoco_plus``), ``refcocog``.
        splits_by: ``unc``, ``umd`` or ``google``; None for the usual one.

    Raises:
        UsageError: where there is no such pair; the message lists those that there are.
    """
    spelt = name.lower().replace("_plus", "+").replace("plus", "+")
    found = [entry for entry in _BENCHMARKS if entry.name == spelt and splits_by in (None, entry.splits_by)]
    if not found:
        pairs = ", ".join(f"{entry.name} ({entry.splits_by})" for entry in _BENCHMARKS)
        wanted = f"{name!r} split by {splits_by!r}" if splits_by else repr(name)
        raise UsageError(f"there is no benchmark {wanted}; there are {pairs}")
    return found[0]


def benchmark_of_path(path: Path) -> str | None:
    """The benchmark that the name of a file, or of a folder above it, says; None where none does."""
    for name in (path.stem, *(folder.name for folder in list(path.parents)[:2])):
        spelt = name.lower().replace("_plus", "+").replace("plus", "+")
        found = [known for known in ("refcocog", "refcoco+", "refcoco") if known in spelt]
        if found:
            return found[0]
    return None


def split_of_path(path: Path) -> str | None:
    """The split that the name of a file ends in, such as ``refcoco_testA.jsonl``; None where it ends in none."""
    words = path.stem.lower().replace("-", "_").replace(".", "_").split("_")
    splits = {"train", "val", "validation", "test", "testa", "testb"}
    return next((word for word in reversed(words) if word in splits), None)
