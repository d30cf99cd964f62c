"""Lenses in the evaluation's loop: each sees every answered image once, over all processes."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mmengine.hooks import Hook

from densevl.benchmarks.lenses.answers import ANSWER_LENSES
from densevl.benchmarks.lenses.answers.contracts import Lens, Section
from densevl.benchmarks.per_image import gathered
from densevl.core.errors import UsageError
from densevl.core.registry import build

__all__ = ["LensHook"]


class LensHook(Hook):
    """Show the answers of each batch to lenses, after the metric has seen them.

    Args:
        lenses: registered names, configs with the name as ``type``, or built lenses.

    Raises:
        UsageError: where one is unknown, keeps no contract, or has the name of another.
    """

    def __init__(self, lenses: Iterable[Any]) -> None:
        self.lenses: dict[str, Lens] = {}
        for given in lenses:
            lens = build(ANSWER_LENSES, given)
            if not isinstance(lens, Lens):
                raise UsageError(f"{given!r} is no lens: it needs name, measure and section, see {Lens.__module__}")
            if lens.name in self.lenses:
                raise UsageError(f"the lens {lens.name!r} is given twice; name it once")
            self.lenses[lens.name] = lens
        self._found: dict[str, list[tuple[int, Any]]] = {name: [] for name in self.lenses}

    def after_test_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Sequence[Any] | None = None
    ) -> None:
        """Keep what the lenses find in a batch; images that could not be used are left out."""
        for name, lens in self.lenses.items():
            for sample in (one.to_dict() for one in outputs or () if "failure" not in one):
                self._found[name].append((sample["sample_idx"], lens.measure(sample)))

    def sections(self, facts: Mapping[str, Any]) -> dict[str, Section]:
        """The section of each lens; called on every process, for they exchange what they found.

        Args:
            facts: of the data set, such as its ``classes``.
        """
        made = {}
        for name, lens in self.lenses.items():
            found = sorted(gathered(self._found[name]), key=lambda entry: entry[0])
            if found:
                made[name] = lens.section([kept for _, kept in found], facts)
        return made
