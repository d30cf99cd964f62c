"""The best class of each pixel and its probability, from the logits of a few classes at a time.

With l_q the logit of query q at a pixel and M_c that of class c, the largest of its queries or what else they come to,
the probability of a class is
``exp(M_c) / Σ_q exp(l_q)``, or ``exp(M_c) / Σ_c exp(M_c)`` where the classes are made to sum to 1. Both sums are kept
against the largest logit so far, so that no tensor of all classes and pixels is ever made.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float32, Int, Int64
from torch import Tensor

from densevl.classifiers.text import pooled
from densevl.core.geometry import Size
from densevl.core.transfers import upload

__all__ = ["Streamed", "groups_of_classes"]

VALUES_AT_ONCE = 2**22
"""Logits of queries at pixels that are held together: 16 MiB in float32."""


def groups_of_classes(
    query_classes: Int[Tensor, " q"], size: Size
) -> Iterator[tuple[Int64[Tensor, " k"], Int64[Tensor, " m"]]]:
    """Classes that are looked at together, and their queries; a class without a query belongs to none.

    Args:
        query_classes: index of the class of each query.
        size: of the image.
    """
    most = max(1, VALUES_AT_ONCE // (size[0] * size[1]))
    order = query_classes.argsort(stable=True)
    members, counts = query_classes[order].unique_consecutive(return_counts=True)
    ends = counts.cumsum(0)
    first = 0
    while first < len(members):
        before = int(ends[first - 1]) if first else 0
        last = max(first + 1, int((ends <= before + most).sum()))
        yield members[first:last], order[before : int(ends[last - 1])]
        first = last


class Streamed:
    """Labels of an image that grow as classes are added.

    Args:
        size: of the image.
        device: where they lie.
        normalise: whether the probabilities of all classes sum to 1, rather than those of all queries.
        tau: of the sum over the queries of a class; None for the largest.

    Attributes:
        labels: the best class of each pixel so far; of classes that tie, the first.
    """

    def __init__(self, size: Size, device: torch.device, normalise: bool, tau: int | float | None = None) -> None:
        self.normalise, self.tau = normalise, tau
        self.labels = torch.zeros(size, dtype=torch.int64, device=device)
        self._largest = torch.full(size, -torch.inf, device=device)
        self._sum = torch.zeros(size, device=device)

    def add(
        self, members: Int64[Tensor, " k"], query_classes: Int64[Tensor, " q"], logits: Float32[Tensor, "q H W"]
    ) -> None:
        """Look at more classes.

        Args:
            members: indices of the classes.
            query_classes: the class of each query, in the order of the members.
            logits: of the queries; they are overwritten.
        """
        if len(members) < len(query_classes):
            rows = torch.searchsorted(members, query_classes)
            of_classes = pooled(logits, rows, len(members), self.tau, dim=0)
        else:
            of_classes = logits
        best, winner = of_classes.max(dim=0)
        largest = torch.maximum(self._largest, best)
        better = best > self._largest
        self.labels = torch.where(better, upload(members, winner.device)[winner], self.labels)
        summed = of_classes if self.normalise else logits
        self._sum = self._sum * (self._largest - largest).exp() + summed.sub_(largest).exp_().sum(dim=0)
        self._largest = largest

    @property
    def best(self) -> Float32[Tensor, "H W"]:
        """Probability of the best class of each pixel."""
        return 1 / self._sum
