"""Changes of a model's config, by a dotted path or a unique name.

For example::

    {"gamma": 0.3}                                  # the only place that takes it
    {"refiners.0.weights": "heads.safetensors"}
    {"segmentor.short_side": 96}                    # of one component alone

A name goes to every component that takes an argument of it (segmentor, grounder, region embedder), and where none does
to the members below them, which must then be of one kind.
"""

import inspect
import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

from densevl.api.models import COMPONENTS, ModelEntry
from densevl.classifiers import CLASSIFIERS
from densevl.core.errors import UsageError, suggestion
from densevl.core.registry import Registry
from densevl.dense.guides import GUIDES
from densevl.dense.readouts import READOUTS
from densevl.dense.refiners import REFINERS
from densevl.dense.stages import STAGES
from densevl.encoders import ENCODERS
from densevl.regions.detectors import DETECTORS
from densevl.regions.embedders import REGION_EMBEDDERS
from densevl.regions.embedders.prompted import NO_PROMPTER
from densevl.regions.mask_makers import MASK_MAKERS
from densevl.tasks.grounding import GROUNDERS
from densevl.tasks.segmentation import SEGMENTORS
from densevl.weights import weights_entry, weights_table
from densevl.weights.opened import random_seed

__all__ = ["TYPES", "arguments_of", "changed", "named_config"]

REGISTRIES = {
    "segmentor": SEGMENTORS,
    "grounder": GROUNDERS,
    "embedder": REGION_EMBEDDERS,
    "embedders": REGION_EMBEDDERS,
    "mask_maker": MASK_MAKERS,
    "maker": MASK_MAKERS,
    "detector": DETECTORS,
    "encoder": ENCODERS,
    "foreground_encoder": ENCODERS,
    "readout": READOUTS,
    "refiners": REFINERS,
    "classifier": CLASSIFIERS,
    "stages": STAGES,
}
"""The registry behind each argument that holds a member of one, or a list of them."""

TYPES = {"segmentor": "dense", "grounder": "regions"}
"""The type of a component whose config does not name one."""


class _Member(NamedTuple):
    """A config inside the config of a model: where it stands, what kind it is, and its settings."""

    path: str
    kind: str
    settings: dict[str, Any]

    def takes(self, name: str) -> bool:
        """True where it has a setting of this name, or could have one."""
        return name in self.settings or name in self.arguments

    @property
    def arguments(self) -> set[str]:
        """Names of the arguments that its type takes."""
        return arguments_of(REGISTRIES[self.kind], self.settings.get("type", TYPES.get(self.kind)))


def changed(entry: ModelEntry, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The configs of the components of a model, with changes.

    Args:
        entry: the model.
        changes: dotted paths or unique names, and their values, made in this order.

    Raises:
        UsageError: where a path leads nowhere, a name is taken by members of different kinds, or a prompter is missing.
    """
    config: dict[str, Any] = {name: _config(value) for name, value in entry.config.items()}
    kept = "embedder" in config or "embedder" in config.get("segmentor", {}) or "segmentor" not in config
    if not kept:
        config["embedder"] = {"type": "mask-pooling"}  # the usual one takes changes as well
    for name, value in changes.items():
        reached = _change(entry.name, config, name, value)
        kept = kept or reached == {"embedder"}
    if not kept:
        del config["embedder"]
    if any(one.settings.get("type") == "prompter" and not one.settings.get("prompter") for one in _members(config)):
        raise UsageError(NO_PROMPTER)  # before any weights are fetched
    return config


def _change(model: str, config: dict[str, Any], name: str, value: Any) -> set[str]:
    """Make one change; return the names of the components that it reached."""
    first, *rest = name.split(".")
    if first in COMPONENTS and not rest:
        new = named_config(first, value)
        if isinstance(new, dict) and "type" in new:
            _ = arguments_of(REGISTRIES[first], new["type"])  # an unknown name is said now, not when it is built
        for holder in [member for member in _members(config) if _holds(member, first)]:
            holder.settings[first] = deepcopy(new)
        config[first] = new
        return {first}
    if first in COMPONENTS:
        holders = [member for member in _members(config) if member.path == first]
        first, *rest = rest
    elif rest:
        holders = [member for member in _members(config) if first in member.settings]
    else:
        takers = [member for member in _members(config) if member.takes(first)]
        depth = min((member.path.count(".") for member in takers), default=0)
        holders = [member for member in takers if member.path.count(".") == depth]
        kinds = {member.kind for member in holders}
        if depth and len(kinds) > 1:
            paths = ", ".join(sorted(f"{member.path}.{first}" for member in holders))
            raise UsageError(f"model {model!r} has {first!r} in several places: {paths}; give the path of one")
    if not holders:
        known = sorted({argument for member in _members(config) for argument in member.arguments})
        raise UsageError(f"model {model!r} takes no argument {name!r}; {suggestion(first, known)}")
    if [first, *rest] == ["encoder", "weights"]:
        _check_one_encoder(holders)
    for holder in holders:
        _set(holder, [first, *rest], value, name)
    return {holder.path.partition(".")[0] for holder in holders}


def _holds(member: _Member, component: str) -> bool:
    """Whether a component is part of a member, too; of a dense segmentor only where it has one, which reads it."""
    dense = member.path == "segmentor" and member.settings.get("type", "dense") == "dense"
    takes = component in (member.settings if dense else member.arguments)
    return takes and member.path in COMPONENTS


def _set(holder: _Member, keys: list[str], value: Any, name: str) -> None:
    """Set a value below a member."""
    place: Any = holder.settings
    kind = holder.kind
    for key in keys[:-1]:
        if isinstance(place, dict) and key in REGISTRIES and isinstance(place.get(key), str):
            place[key] = {"type": place[key]}
        kind = key if key in REGISTRIES else kind
        try:
            place = place[int(key)] if isinstance(place, list) else place[key]
        except (KeyError, IndexError, ValueError, TypeError):
            raise UsageError(f"{name!r} leads nowhere: there is no {key!r} in {holder.path}") from None
    above = f"{holder.path}.{'.'.join(keys[:-1])}"
    if place is None:
        raise UsageError(f"{name!r} leads nowhere: this model has no {above}; give it one first, as {above}=TYPE")
    if not isinstance(place, dict | list):
        raise UsageError(f"{name!r} leads nowhere: {above} is built already")
    last = keys[-1]
    if isinstance(place, list):
        place[int(last)] = value
    elif last == "weights" and (kind in ("encoder", "foreground_encoder") or _is_random_sam(place, value)):
        place.update(_other_weights(REGISTRIES[kind], place, str(value)))
    else:
        place[last] = named_config(last, value) if last in REGISTRIES else value
    if holder.settings is not place and keys[:2] == ["encoder", "weights"]:
        _follow_random(holder.settings, str(value))
    if keys == ["encoder"] and isinstance(value, Mapping):
        _follow_random(holder.settings, str(value.get("weights")))


def _is_random_sam(place: Mapping[str, Any], value: Any) -> bool:
    """A SAM whose weights shall be random: a file shows its architecture, they have that of the weights before."""
    return place.get("type") == "sam" and random_seed(value) is not None


def _other_weights(registry: Registry, member: Mapping[str, Any], weights: str) -> dict[str, Any]:
    """The changes of a member with other weights: a file keeps what it does not say itself, a name brings its own.

    What a file keeps is the architecture, unless a JSON file beside it tells another, the mean and the tokenizer. A
    member of one architecture takes none.
    """
    if "arch" not in arguments_of(registry, member.get("type")):
        return {"weights": weights}
    before, arch = member.get("weights"), member.get("arch")
    if arch is None and before in weights_table():
        entry = weights_entry(str(before))
        arch = entry.arch or entry.kind
    if weights in weights_table():
        return {"weights": weights, "arch": None}
    kept: dict[str, Any] = {"weights": weights, "arch": arch}
    if random_seed(weights) is None and before in weights_table():
        kept["like"] = before
        beside = Path(weights).name and Path(weights).with_suffix(".json").is_file()
        kept["arch"] = None if beside else arch
    return kept


def _follow_random(settings: dict[str, Any], weights: str) -> None:
    """Make random what was trained on an encoder whose weights are random now, or guides it."""
    if random_seed(weights) is None:
        return
    for part in (settings.get("readout"), *settings.get("refiners", ()), *settings.get("stages", ())):
        guides = (part.get("guide"), part.get("sam")) if isinstance(part, dict) else ()
        for guide in guides:
            if isinstance(guide, dict) and guide.get("weights") in weights_table():
                guide.update(_other_weights(GUIDES, guide, weights))
    for refiner in settings.get("refiners", ()):
        if isinstance(refiner, dict) and "weights" in refiner:
            refiner["weights"] = weights
    if "stages" in settings:
        prompts = {"type": "sam-prompts", "weights": weights}
        settings["stages"] = [
            {**stage, **prompts}
            if isinstance(stage, dict) and stage.get("type") == "sam-prompts"
            else prompts
            if stage == "sam-prompts"
            else stage
            for stage in settings["stages"]
        ]
    below = [settings, settings.get("embedder")]
    for one in below:
        if isinstance(one, dict) and one.get("type") == "prompter":
            one["prompter"] = weights


def _check_one_encoder(holders: list[_Member]) -> None:
    """Refuse to give one file to encoders of different architectures."""
    known = {json.dumps(holder.settings["encoder"], sort_keys=True, default=str) for holder in holders}
    if len(known) > 1:
        raise UsageError(
            f"weights replace those of one CLIP model, and this model has {len(known)}; "
            f"give the path of one, such as {holders[0].path}.encoder.weights"
        )


def _members(config: dict[str, Any], above: str = "") -> Iterator[_Member]:
    """All members of a config, from the components down."""
    for key, value in config.items():
        if key not in REGISTRIES:
            continue
        several = value if isinstance(value, list) else [value]
        for index, one in enumerate(several):
            if isinstance(one, dict):
                path = f"{above}{key}" + (f".{index}" if isinstance(value, list) else "")
                yield _Member(path, key, one)
                yield from _members(one, f"{path}.")


def _config(value: Any) -> Any:
    """A config that can be changed: mappings as dicts, sequences as lists; built members as they are."""
    if isinstance(value, Mapping):
        return {key: _config(inner) for key, inner in value.items()}
    return [_config(inner) for inner in value] if isinstance(value, list | tuple) else value


def named_config(kind: str, value: Any) -> Any:
    """The config of a member that is given by its name, or of a SAM by that of its weights."""
    if not isinstance(value, str) or kind not in REGISTRIES:
        return _config(value)
    if REGISTRIES[kind] is MASK_MAKERS and value in weights_table():
        return {"type": "sam", "weights": value}
    return {"type": value}


def arguments_of(registry: Registry, kind: Any) -> set[str]:
    """Names of the arguments that a registered type takes, those that it passes on to its bases included."""
    found = registry.get(kind) if isinstance(kind, str) else kind
    if not callable(found):
        raise UsageError(f"{registry.name} {kind!r} is unknown; {suggestion(str(kind), registry.names)}")
    names: set[str] = set()
    for makes in inspect.getmro(found) if inspect.isclass(found) else (found,):
        parameters = inspect.signature(makes).parameters.values()
        names |= {one.name for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)}
        if all(one.kind is not one.VAR_KEYWORD for one in parameters):
            break
    return names
