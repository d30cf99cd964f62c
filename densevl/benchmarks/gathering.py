"""Bringing together what the processes of an evaluation found, and checking that each image counts once."""

from collections import Counter
from collections.abc import Sequence
from typing import TypeVar

from mmengine.dist import all_gather_object, is_distributed

from densevl.errors import UsageError

__all__ = ["check_each_once", "gathered"]

Item = TypeVar("Item")


def gathered(items: list[Item]) -> list[Item]:
    """The items of all processes, in the order of the processes; every process gets all of them."""
    if not is_distributed():
        return items
    return [item for part in all_gather_object(items) for item in part]


def check_each_once(seen: Sequence[int], size: int) -> None:
    """Refuse a figure over anything but each image once.

    Args:
        seen: index of each image that was evaluated.
        size: number of images of the data set.

    Raises:
        UsageError: where one was counted twice or not at all.
    """
    twice = [index for index, times in Counter(seen).items() if times > 1]
    if twice:
        raise UsageError(
            f"{len(twice)} images were counted more than once (sample {twice[0]}, for one): the sampler filled up the "
            "processes; set test_dataloader.sampler.round_up=False"
        )
    if len(seen) != size:
        raise UsageError(f"{len(seen)} of the {size} images were evaluated; the figure would mean nothing")
