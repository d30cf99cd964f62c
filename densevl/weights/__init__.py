"""Pretrained weights: which there are, where they lie, and how their files are read.

path = fetch("clip-vit-b16-laion2b")        # from the cache, or from its hub: resumed, verified
state = load_state_dict(path)               # tensors only; nothing in the file is executed
check_state_dict(state, model.state_dict(), path)
"""

from typing import TYPE_CHECKING, Any

from densevl.weights.by_hand import MissingWeights, how_to_check, size_text
from densevl.weights.cache import fetch, fetch_folder, place
from densevl.weights.download import TransferError
from densevl.weights.places import cache_dir, is_cached, is_offline, location
from densevl.weights.table import WeightsEntry, weights_entry, weights_table

if TYPE_CHECKING:
    from densevl.weights.state_dicts import check_state_dict, load_state_dict, read_metadata

__all__ = [
    "MissingWeights",
    "TransferError",
    "WeightsEntry",
    "cache_dir",
    "check_state_dict",
    "fetch",
    "fetch_folder",
    "how_to_check",
    "is_cached",
    "is_offline",
    "load_state_dict",
    "location",
    "place",
    "read_metadata",
    "size_text",
    "weights_entry",
    "weights_table",
]


def __getattr__(name: str) -> Any:
    """Import what needs torch when it is first used: `densevl models` does not."""
    if name not in {"check_state_dict", "load_state_dict", "read_metadata"}:
        raise AttributeError(f"module 'densevl.weights' has no attribute {name!r}")
    from densevl.weights import state_dicts

    return getattr(state_dicts, name)
