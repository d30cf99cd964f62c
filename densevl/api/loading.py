"""The one builder: from a name or a config, with changes, to a model whose components are built when they are used.

A *change* is a dotted path or a unique name, and a value::

    load("dinoiser", gamma=0.3)                                  # the only place that takes it
    load("dinoiser", **{"refiners.0.weights": "heads.safetensors"})
    load("mini", **{"segmentor.short_side": 96})                 # of one component alone
    load("maskclip@clip-vit-l14-openai")                         # a head on another encoder

A name goes to every component that takes an argument of it (segmentor, grounder, region embedder), and where none does
to the members below them, which must then be of one kind. An encoder that several components name with the same
settings is built once, and so is the mask maker.
"""

import inspect
import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch

from densevl.api.model import Model
from densevl.api.models import COMPONENTS, ModelEntry, default_model, model_entry
from densevl.classifiers import CLASSIFIERS
from densevl.core.errors import UsageError, suggestion
from densevl.core.registry import Registry, build
from densevl.core.vocabulary import templates
from densevl.dense.readouts import READOUTS
from densevl.dense.refiners import REFINERS
from densevl.dense.smoothing import SMOOTHINGS
from densevl.encoders import ENCODERS
from densevl.regions.detectors import DETECTORS
from densevl.regions.embedders import REGION_EMBEDDERS
from densevl.regions.mask_makers import MASK_MAKERS
from densevl.tasks.grounding import GROUNDERS
from densevl.tasks.segmentation import SEGMENTORS
from densevl.weights import weights_entry, weights_table
from densevl.weights.opened import random_seed

__all__ = ["changed", "choose_device", "load"]

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
    "smoothings": SMOOTHINGS,
}
"""The registry behind each argument that holds a member of one, or a list of them."""

TYPES = {"segmentor": "dense", "grounder": "regions"}
"""The type of a component whose config does not name one."""

SHARED = ("readout", "short_side", "long_side", "positions", "border")
"""Settings of the segmentor that a region embedder shares, where it takes arguments of these names."""

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def load(
    name: str | Mapping[str, Any] | None = None,
    *,
    weights: str | Path | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype = "float32",
    offline: bool = False,
    lazy: bool = False,
    **changes: Any,
) -> Model:
    """Load a model.

    Args:
        name: a name from ``densevl models``; ``HEAD@ENCODER``, such a name with other weights of the encoder, by their
            name in the weights table; or a config: that of a segmentor, or of a grounder, or of several components
            under ``segmentor``, ``grounder``, ``embedder`` and ``mask_maker``. None takes ``dinoiser``, or
            ``maskclip`` where the network is not to be used and only its weights are here.
        weights: of the encoder, in the place of the model's own: a file of the same architecture, a name of the weights
            table, or ``random:SEED`` for weights that mean nothing but take the same time. What was trained on the
            encoder, such as DINOiser's heads, is random then, too.
        device: where to run; None takes a GPU where there is one.
        dtype: of the weights: ``"float32"``, ``"bfloat16"`` or ``"float16"``.
        offline: never reach for the network; a missing file is an error that tells where to put it.
        lazy: also build the segmentor, or the grounder of a model without one, only when it is first used, as it is
            always done with the other components.
        changes: dotted paths or unique names, and their values; see above. A component or a member is replaced by its
            registered name or a config, such as ``readout="naclip"``; a mask maker also by the weights of a SAM, as in
            ``mask_maker="sam-vit-b"``.

    Raises:
        UsageError: where the name, the device, the dtype or a change is unknown.
        WeightsError: where the weights are missing, damaged or of another model.
    """
    if name is None:
        name, _ = default_model(offline)
    entry, encoder = _entry(name)
    if encoder is not None:
        changes = {"encoder": {"type": "clip", "weights": encoder}, **changes}
    if weights is not None:
        whole = {name: value for name, value in changes.items() if "." not in name}
        changes = {**whole, "encoder.weights": str(weights), **changes}  # inner changes come after the weights
    parts = _Components(entry.name, changed(entry, changes), choose_device(device), _dtype(dtype), offline)
    model = Model(
        parts.segmentor if "segmentor" in parts.config else None,
        entry.name if encoder is None else str(name),
        parts.grounder if "grounder" in parts.config else None,
        parts.embedder,
        parts.mask_maker,
        parts.templates,
    )
    if not lazy:
        _ = model.segmentor if "segmentor" in parts.config else model.grounder
    return model


def choose_device(device: str | torch.device | None) -> torch.device:
    """The device of a name, or a GPU where there is one.

    Raises:
        UsageError: where it is unknown or cannot be used here.
    """
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"device {str(device)!r} cannot be used here ({reason}); try `cpu`") from None
    return chosen


def _dtype(dtype: str | torch.dtype) -> torch.dtype:
    if isinstance(dtype, str) and dtype not in DTYPES:
        raise UsageError(f"dtype must be one of {', '.join(DTYPES)}; got {dtype!r}")
    return DTYPES[dtype] if isinstance(dtype, str) else dtype


def _entry(name: str | Mapping[str, Any]) -> tuple[ModelEntry, str | None]:
    """The entry of a name or a config, and the weights behind the ``@`` of a name."""
    if isinstance(name, str):
        head, _, encoder = name.partition("@")
        if encoder and encoder not in weights_table():
            raise UsageError(f"encoder {encoder!r} is unknown; {suggestion(encoder, weights_table())}")
        return model_entry(head), encoder or None
    config = dict(name)
    if not set(config) & {"segmentor", "grounder", "embedder"}:
        config = {"grounder" if "embedders" in config else "segmentor": config}
    elif "encoder" in config:  # a segmentor by regions has an argument `embedder`
        config = {"segmentor": config}
    unknown = set(config) - set(COMPONENTS)
    if unknown:
        raise UsageError(f"a model is made of {', '.join(COMPONENTS)}; got {', '.join(sorted(unknown))}")
    return ModelEntry("custom", **{part: _named(part, value) for part, value in config.items()}), None


# Changes ----------------------------------------------------------------------------------------------------------


class _Member(NamedTuple):
    """A config inside the config of a model: where it stands, what kind it is, and its settings."""

    path: str
    kind: str
    settings: dict[str, Any]

    def takes(self, name: str) -> bool:
        """Whether it has a setting of this name, or could have one."""
        return name in self.settings or name in self.arguments

    @property
    def arguments(self) -> set[str]:
        """Names of the arguments that its type takes."""
        return _arguments(REGISTRIES[self.kind], self.settings.get("type", TYPES.get(self.kind)))


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
        raise UsageError(
            "there is no prompter: no weights of CLOC are public; give prompter=FILE, that of a training of yours "
            "(configs/cloc_train_*.py), or prompter=mini-cloc with weights=mini-clip, which know drawn scenes alone"
        )
    return config


def _change(model: str, config: dict[str, Any], name: str, value: Any) -> set[str]:
    """Make one change; return the names of the components that it reached."""
    first, *rest = name.split(".")
    if first in COMPONENTS and not rest:
        new = _named(first, value)
        if isinstance(new, dict) and "type" in new:
            _ = _arguments(REGISTRIES[first], new["type"])  # an unknown name is said now, not when it is built
        holders = [member for member in _members(config) if first in member.arguments and member.path in COMPONENTS]
        for holder in holders:
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
    if not isinstance(place, dict | list):
        raise UsageError(f"{name!r} leads nowhere: {holder.path}.{'.'.join(keys[:-1])} is built already")
    last = keys[-1]
    if isinstance(place, list):
        place[int(last)] = value
    elif last == "weights" and kind in ("encoder", "foreground_encoder"):
        place.update(_other_weights(place, str(value)))
    else:
        place[last] = _named(last, value) if last in REGISTRIES else value
    if holder.settings is not place and keys[:2] == ["encoder", "weights"]:
        _follow_random(holder.settings, str(value))
    if keys == ["encoder"] and isinstance(value, Mapping):
        _follow_random(holder.settings, str(value.get("weights")))


def _other_weights(encoder: Mapping[str, Any], weights: str) -> dict[str, Any]:
    """What changes of an encoder with other weights: a file keeps the architecture, a name brings its own."""
    arch = encoder.get("arch")
    if arch is None and encoder.get("weights") in weights_table():
        entry = weights_entry(encoder["weights"])
        arch = entry.arch or entry.kind
    return {"weights": weights, "arch": None if weights in weights_table() else arch}


def _follow_random(settings: dict[str, Any], weights: str) -> None:
    """Make random what was trained on an encoder whose weights are random now."""
    if random_seed(weights) is None:
        return
    for refiner in settings.get("refiners", ()):
        if isinstance(refiner, dict) and "weights" in refiner:
            refiner["weights"] = weights
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


def _named(kind: str, value: Any) -> Any:
    """The config of a member that is given by its name, or of a SAM by that of its weights."""
    if not isinstance(value, str) or kind not in REGISTRIES:
        return _config(value)
    if REGISTRIES[kind] is MASK_MAKERS and value in weights_table():
        return {"type": "sam", "weights": value}
    return {"type": value}


def _arguments(registry: Registry, kind: Any) -> set[str]:
    """Names of the arguments that a registered type takes, those that it passes on to its bases included."""
    found = registry.get(kind) if isinstance(kind, str) else kind
    if found is None:
        raise UsageError(f"{registry.name} {kind!r} is unknown; {suggestion(str(kind), registry.names)}")
    names: set[str] = set()
    for makes in inspect.getmro(found) if inspect.isclass(found) else (found,):
        parameters = inspect.signature(makes).parameters.values()
        names |= {one.name for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)}
        if all(one.kind is not one.VAR_KEYWORD for one in parameters):
            break
    return names


# Building ---------------------------------------------------------------------------------------------------------


class _Components:
    """Builds the components of a model, each when it is first used.

    Where a model names no region embedder, it is that of its segmentor or of its grounder; a segmentor without regions
    lends its features, which are pooled over each region.
    """

    def __init__(
        self, name: str, config: dict[str, Any], device: torch.device, dtype: torch.dtype, offline: bool
    ) -> None:
        self.name, self.device, self.dtype = name, device, dtype
        self.config = _offline(config) if offline else config
        self._encoders: dict[str, Any] = {}

    @property
    def templates(self) -> tuple[str, ...]:
        """The texts that a query is set into, as the segmentor does it, or the grounder."""
        if "segmentor" in self.config:
            return tuple(templates(self.config["segmentor"].get("templates", "imagenet80")))
        return (self.config["grounder"].get("template", "a photo of {}") if "grounder" in self.config else "{}",)

    @cached_property
    def _segmentor(self) -> Any:
        if "segmentor" not in self.config:
            return None
        config = {"type": TYPES["segmentor"], **self.config["segmentor"]}
        return self._placed(build(SEGMENTORS, {**config, "encoder": self._encoder(config["encoder"])}))

    def segmentor(self) -> Any:
        """The segmentor; None for none."""
        return self._segmentor

    @cached_property
    def _mask_maker(self) -> Any:
        own = getattr(self._segmentor, "mask_maker", None)
        config = self.config.get("mask_maker") or self.config.get("grounder", {}).get("mask_maker")
        if own is not None or config is None:
            return own
        maker = build(MASK_MAKERS, config)
        return maker.to(self.device, self.dtype) if hasattr(maker, "to") else maker

    def mask_maker(self) -> Any:
        """The mask maker, which proposes regions and makes masks; None for none."""
        return self._mask_maker

    @cached_property
    def _grounder(self) -> Any:
        if "grounder" not in self.config:
            return None
        config = {"type": TYPES["grounder"], **self.config["grounder"]}
        config["embedders"] = [self._with_encoder(one) for one in config.get("embedders", ())]
        grounder = self._placed(build(GROUNDERS, {**config, "mask_maker": None}))
        grounder.mask_maker = self._mask_maker  # last: what cannot be used is said before its weights are fetched
        return grounder

    def grounder(self) -> Any:
        """The grounder; None for none."""
        return self._grounder

    def embedder(self) -> Any:
        """The region embedder."""
        config = self.config.get("embedder")
        own = getattr(self._segmentor, "embedder", None)
        if config is None and own is not None:
            return own
        if config is None and self._segmentor is None:
            config = self.config["grounder"]["embedders"][0]
        if config is not None and not isinstance(config, Mapping):
            return config
        config = config or {"type": "mask-pooling"}
        return self._placed(build(REGION_EMBEDDERS, self._with_encoder({**self._lent(config), **config}))).eval()

    def _placed(self, module: Any) -> Any:
        return module.to(device=self.device, dtype=self.dtype)

    def _lent(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """What the other components lend a region embedder."""
        if self._segmentor is None:
            return {"encoder": self.config["grounder"]["embedders"][0]["encoder"]}
        own = self.config["segmentor"]
        lent = {name: own[name] for name in SHARED if name in own}
        lent["refiners"] = list(getattr(self._segmentor, "refiners", ()))
        taken = _arguments(REGION_EMBEDDERS, config["type"])
        return {"encoder": self._segmentor.encoder, **{name: value for name, value in lent.items() if name in taken}}

    def _with_encoder(self, config: Any) -> Any:
        """The config of an embedder with its encoder built, once for all components; a built embedder as it is."""
        encoder = config.get("encoder") if isinstance(config, Mapping) else None
        return {**config, "encoder": self._encoder(encoder)} if isinstance(encoder, Mapping) else config

    def _encoder(self, config: Any) -> Any:
        if not isinstance(config, Mapping):
            return config
        key = json.dumps(config, sort_keys=True, default=str)
        if key not in self._encoders:
            self._encoders[key] = build(ENCODERS, config)
        return self._encoders[key]


def _offline(config: Any) -> Any:
    """A config that reaches for no network where it, or a config inside it, names weights."""
    if isinstance(config, list):
        return [_offline(value) for value in config]
    if not isinstance(config, Mapping):
        return config
    inner = {key: _offline(value) for key, value in config.items()}
    return {**inner, "offline": True} if isinstance(config.get("weights"), str | Path) else inner
