"""The registries of densevl: MMEngine registries, one for each family that users extend.

A config dictionary ``dict(type="clip", ...)`` becomes an object through :func:`build`. Registered names are found by
importing the module in ``locations`` on first use, so importing this file costs little.
"""

from collections.abc import Mapping
from typing import Any

from mmengine.registry import Registry

from densevl.core.errors import UsageError, suggestion

__all__ = [
    "DETECTORS",
    "ENCODERS",
    "GROUNDERS",
    "MASK_MAKERS",
    "READOUTS",
    "REFINERS",
    "REGION_EMBEDDERS",
    "SEGMENTORS",
    "build",
]

ENCODERS = Registry("encoder", scope="densevl", locations=["densevl.encoders"])
READOUTS = Registry("readout", scope="densevl", locations=["densevl.dense.readouts"])
REFINERS = Registry("refiner", scope="densevl", locations=["densevl.dense.refiners"])
REGION_EMBEDDERS = Registry("region embedder", scope="densevl", locations=["densevl.regions.embedders"])
MASK_MAKERS = Registry("mask maker", scope="densevl", locations=["densevl.regions.mask_makers"])
DETECTORS = Registry("detector", scope="densevl", locations=["densevl.regions.detectors"])
SEGMENTORS = Registry(
    "segmentor",
    scope="densevl",
    locations=["densevl.tasks.segmentation", "densevl.tasks.segmentation.region_segmentor"],
)
GROUNDERS = Registry("grounder", scope="densevl", locations=["densevl.tasks.grounding"])


def build(registry: Registry, part: Any) -> Any:
    """Build a part of a registry.

    Args:
        registry: where its name is looked up.
        part: a registered name, a config with its name as ``type``, or a built part, which is returned as it is.

    Raises:
        UsageError: where the name is unknown, or the config has arguments that the part does not take.
    """
    if isinstance(part, str):
        part = {"type": part}
    if not isinstance(part, Mapping):
        return part
    name = part.get("type")
    if isinstance(name, str) and registry.get(name) is None:
        raise UsageError(f"{registry.name} {name!r} is unknown; {suggestion(name, sorted(registry.module_dict))}")
    try:
        return registry.build(dict(part))
    except TypeError as error:
        raise UsageError(f"{registry.name} {name!r} cannot be built: {error}") from error
