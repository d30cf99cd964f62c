"""The models that can be loaded by name: the configs of their components, as ``data/models.json`` has them.

A row may extend another, and name a protocol (:mod:`densevl.api.protocols`) whose weights and settings of any data set
it takes: mappings are merged, everything else is replaced; what the row says itself comes last. Plug-ins add rows by a
file of their own.

The weights of an image-text encoder are a model, too: those of a row whose readers they take. That row is the one that
the weights table names, or :data:`ANY`, which is no model itself.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from densevl.api.protocols import merged, protocol
from densevl.core.errors import UsageError, suggestion
from densevl.core.plugins import plugin_rows
from densevl.weights import WeightsEntry, is_cached, is_offline, weights_entry, weights_table
from densevl.weights.table import DATA

__all__ = [
    "ANY",
    "COMPONENTS",
    "ModelEntry",
    "default_model",
    "encoders",
    "is_model",
    "missing_weights",
    "model_entry",
    "models",
    "named_config",
    "named_model",
    "needed_weights",
    "weights_in",
]

COMPONENTS = ("segmentor", "grounder", "embedder", "mask_maker")
"""The components that a model may have."""

DEFAULTS = {"segmentor": ("dinoiser", "maskclip"), "grounder": ("fgvp-b16", "fgvp")}
"""What is taken where nobody names a model, by the component that is wanted: the default, and what stands in for it
where the network is not to be used and only its weights are here."""

ANY = "*"
"""The row whose readers the weights of an encoder take where they name none."""

IMAGE_TEXT = ("clip", "mini-clip")
"""Kinds of weights that hold an image tower and a text tower."""

COMMANDS = {
    "segmentor: sam3": ("segment",),
    "segmentor": ("segment", "compare", "embed", "search"),
    "grounder": ("refer", "embed", "search"),
    "embedder": ("embed", "search"),
}
"""The commands that each component is for, those of one type before those of all."""


@dataclass(frozen=True)
class ModelEntry:
    """A model by name.

    Attributes:
        name: what users call it.
        description: what it is, in a line.
        segmentor: config of a segmentor, see :data:`densevl.tasks.segmentation.SEGMENTORS`; empty where it has none.
        grounder: config of a grounder, see :data:`densevl.tasks.grounding.GROUNDERS`; empty where it has none.
        embedder: config of a region embedder, see :data:`densevl.regions.embedders.REGION_EMBEDDERS`; empty where it
            names none.
        mask_maker: config of a mask maker, see :data:`densevl.regions.mask_makers.MASK_MAKERS`; empty where it names
            none.
        known: the ``weights`` that tell images of the kind that it knows from others; empty where nobody says.
        protocol: name of the published protocol that it follows; empty where it follows none.
    """

    name: str
    description: str = ""
    segmentor: dict[str, Any] = field(default_factory=dict)
    grounder: dict[str, Any] = field(default_factory=dict)
    embedder: dict[str, Any] = field(default_factory=dict)
    mask_maker: dict[str, Any] = field(default_factory=dict)
    known: dict[str, Any] = field(default_factory=dict)
    protocol: str = ""

    @property
    def config(self) -> dict[str, Any]:
        """The configs of the components that it has, by name."""
        return {name: deepcopy(getattr(self, name)) for name in COMPONENTS if getattr(self, name)}

    @property
    def weights(self) -> tuple[str, ...]:
        """Names of the weights that it needs, each once, in the order of its components."""
        return weights_in(self.config)

    @property
    def files(self) -> tuple[WeightsEntry, ...]:
        """The weights that it needs."""
        return tuple(map(weights_entry, self.weights))

    @property
    def commands(self) -> tuple[str, ...]:
        """The commands that it is for."""
        parts = [(f"{part}: {config.get('type')}", part) for part, config in self.config.items()]
        return tuple(dict.fromkeys(verb for own, part in parts for verb in COMMANDS.get(own, COMMANDS.get(part, ()))))

    @property
    def cached(self) -> bool:
        """True where all its weights are on this machine."""
        return all(map(is_cached, self.files))

    @property
    def size(self) -> int:
        """Bytes of its weights; where a file's size is not known, four for each parameter."""
        return sum(entry.bytes for entry in self.files)

    @property
    def licence(self) -> str:
        """Licences of its weights."""
        return ", ".join(dict.fromkeys(entry.licence for entry in self.files))


def default_model(offline: bool = False, component: str = "segmentor") -> tuple[str, str]:
    """The model that is taken where nobody names one, and why, in words for people.

    For label maps it is CLIP-DINOiser, for expressions FGVP on one CLIP and the small SAM; weights are fetched where
    they are not on this machine. Only where the network is not to be used, and the weights of the model that stands in
    for it are here and its own are not, it is that model: MaskCLIP, FGVP as published.

    Args:
        offline: never reach for the network; so do ``DENSEVL_OFFLINE=1`` and ``HF_HUB_OFFLINE=1``.
        component: ``"segmentor"`` or ``"grounder"``.
    """
    best, other = (_table()[name] for name in DEFAULTS[component])
    if is_offline(offline) and other.cached and not best.cached:
        absent = ", ".join(file.name for file in best.files if not is_cached(file))
        return other.name, f"the weights {absent} of {best.name} are not here, and densevl is set to stay offline"
    return best.name, "the default"


def models() -> dict[str, ModelEntry]:
    """The rows of the table by name, without the weights that are models as well."""
    return {name: entry for name, entry in deepcopy(_table()).items() if name != ANY}


def model_entry(name: str) -> ModelEntry:
    """The model of a name, or of the weights of an image-text encoder.

    Raises:
        UsageError: where there is none.
    """
    if name in _table() and name != ANY:
        return deepcopy(_table()[name])
    if name in encoders():
        return _of_encoder(name)
    raise UsageError(f"model {name!r} is unknown; {suggestion(name, [*models(), *encoders()])}")


def encoders() -> tuple[str, ...]:
    """Names of all weights of image-text encoders, each of which is a model."""
    return tuple(name for name, entry in weights_table().items() if entry.kind in IMAGE_TEXT)


def is_model(name: str) -> bool:
    """True for a name that :func:`named_model` takes."""
    head, _, encoder = name.partition("@")
    return (head in models() or head in encoders()) and (not encoder or encoder in encoders())


def named_model(name: str) -> tuple[ModelEntry, str | None]:
    """The model of a name or of ``HEAD@ENCODER``, and the weights behind the ``@``.

    Raises:
        UsageError: where either is unknown, or the weights are those of no image-text encoder.
    """
    head, _, encoder = name.partition("@")
    if encoder and encoder not in weights_table():
        raise UsageError(f"encoder {encoder!r} is unknown; {suggestion(encoder, encoders())}")
    if encoder and encoder not in encoders():
        raise UsageError(f"{encoder!r} is no image-text encoder; {suggestion(encoder, encoders())}")
    return model_entry(head), encoder or None


def needed_weights(name: str) -> tuple[WeightsEntry, ...]:
    """The weights behind any name: a model, ``HEAD@ENCODER``, or some weights, such as a mask maker's or a detector's.

    Raises:
        UsageError: where the name is unknown.
    """
    if name in weights_table() and name not in models():
        return _with_bases([name])
    if name.partition("@")[0] not in (*models(), *encoders()):
        known = [*models(), *(other for other in weights_table() if other not in models())]
        raise UsageError(f"{name!r} is neither a model nor weights; {suggestion(name, known)}")
    return _with_bases(weights_in(named_config(name)))


def _with_bases(names: Iterable[str]) -> tuple[WeightsEntry, ...]:
    """The rows of weights, each after those that it lies on."""
    entries = [weights_entry(name) for name in names]
    return tuple(dict.fromkeys(one for entry in entries for one in (*map(weights_entry, entry.bases), entry)))


def named_config(name: str) -> dict[str, Any]:
    """The configs of the components of a model or of ``HEAD@ENCODER``.

    Raises:
        UsageError: as :func:`named_model`.
    """
    entry, encoder = named_model(name)
    config = entry.config
    if encoder is not None:
        for part in [value for value in config.values() if "encoder" in value] or config["grounder"]["embedders"]:
            part["encoder"] = {"type": "clip", "weights": encoder}
    return config


def missing_weights(name: str, component: str) -> tuple[WeightsEntry, ...]:
    """The weights of a component of a model, or of ``HEAD@ENCODER``, that are not on this machine.

    Raises:
        UsageError: as :func:`named_model`.
    """
    entries = _with_bases(weights_in(named_config(name).get(component, {})))
    return tuple(entry for entry in entries if not is_cached(entry))


def weights_in(config: Any) -> tuple[str, ...]:
    """Names of the weights table anywhere in a config, each once, in the order of the config."""
    return tuple(dict.fromkeys(_named_weights(config)))


def _of_encoder(name: str) -> ModelEntry:
    """The model that the weights of an encoder are: the readers of a row, all of them on this encoder."""
    weights = weights_entry(name)
    config = _table()[weights.readers or ANY].config
    return ModelEntry(name, weights.note, **_with_encoder(config, {"type": "clip", "weights": name}))


def _with_encoder(config: Any, encoder: Mapping[str, Any]) -> Any:
    """A config with one encoder in the place of all."""
    if isinstance(config, list):
        return [_with_encoder(value, encoder) for value in config]
    if not isinstance(config, Mapping):
        return config
    return {key: dict(encoder) if key == "encoder" else _with_encoder(value, encoder) for key, value in config.items()}


@cache
def _table() -> dict[str, ModelEntry]:
    own = json.loads((DATA / "models.json").read_text(encoding="utf-8"))
    added = plugin_rows("models.json", own)
    rows = own | {name: row for name, (_, row) in added.items()}
    table = {name: ModelEntry(name, **_extended(own, name)) for name in own}
    for name, (plugin, _) in added.items():
        try:
            table[name] = ModelEntry(name, **_extended(rows, name))
        except (KeyError, TypeError, RecursionError) as error:
            what = f"extends {error}, which is no model" if isinstance(error, KeyError) else error
            raise UsageError(f"models.json of the plug-in {plugin.module}: row {name!r} is none: {what}") from error
    return table


def _extended(rows: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A row with what it takes from the row that it extends, and from the protocol that it names."""
    row = dict(rows[name])
    base = row.pop("extends", None)
    taken = {} if base is None else _extended(rows, base)
    if row.get("protocol"):
        taken = merged(taken, {"segmentor": protocol(row["protocol"]).segmentor})
    return merged(taken, row)


def _named_weights(config: Any) -> Iterator[str]:
    """Names of the weights table anywhere in a config; a type of the same name stands for its own repository alone."""
    if isinstance(config, str) and config in weights_table():
        yield config
    elif isinstance(config, Mapping):
        kind, weights = config.get("type"), config.get("weights")
        elsewhere = kind in weights_table() and weights not in (None, weights_table()[str(kind)].repository)
        for key, value in config.items():
            if not (key == "type" and elsewhere):
                yield from _named_weights(value)
    elif isinstance(config, list):
        for value in config:
            yield from _named_weights(value)
