"""A published protocol laid over the config of a benchmark of label maps, and where the result is a mix.

The settings of the protocol take the place of those of the model; what belongs to the head stays: readout, refiners and
those stages that are part of a method. What somebody sets by hand comes last. A result is *as published* where the head
is the protocol's own, on weights that it is published with, and every setting is as the protocol says; all else is a
mix, and the report names what is mixed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmengine.config import Config

from densevl.api.changes import named_config
from densevl.api.models import model_entry, named_model
from densevl.api.protocols import Protocol, protocol, protocol_names
from densevl.core.background import Background
from densevl.core.errors import UsageError
from densevl.core.registry import build
from densevl.dense.stages import STAGES

__all__ = ["OWN", "Preset", "own_protocol"]

OWN = "own"
"""What stands for the protocol that the model's own row names."""

FINISHING = ("min-area", "pamr", "tlp")
"""Stages that go with any head, and so with a protocol; others are part of a head, unless the protocol names them."""

AROUND = ("model", "weights", "data_preprocessor", "channel_order", "seg_logits", "window_batch", "device")
"""Options of a model that are no settings of a protocol; what weights are used is told by the encoder."""


@dataclass(frozen=True)
class Preset:
    """A protocol on a data set, for a model.

    Attributes:
        protocol: of a publication.
        data: name of the vocabulary of the data set.
        model: name of the model, without its encoder.
        settings: of the segmentor, by name.
        queries: the vocabulary whose words are asked for the classes; None for that of the data set.
        head: changes of the head, by dotted path; none for another's.
        changed: options by hand that stand in the place of the protocol's, or change the head.
        parts: kinds of the stages that are part of the head.
    """

    protocol: Protocol
    data: str
    model: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    queries: str | None = None
    head: Mapping[str, Any] = field(default_factory=dict)
    changed: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()

    @classmethod
    def of(cls, name: str, model: Any, data: str, options: Mapping[str, Any] | None = None) -> "Preset":
        """The protocol of a name for a model on a data set.

        Args:
            name: of a protocol, or ``"own"``.
            model: a name as :func:`densevl.load` takes it.
            data: name of the vocabulary of the data set.
            options: config options by hand, by their full dotted keys.

        Raises:
            UsageError: where there is no such protocol or model, or the model names none of its own.
        """
        if not isinstance(model, str):
            raise UsageError("a protocol needs a model with a name, such as --model naclip; this one is a config")
        entry, _ = named_model(model)
        own = own_protocol(model)
        if name == OWN and own is None:
            raise UsageError(
                f"model {entry.name!r} names no protocol of its own; take that of a publication: "
                f"{', '.join(protocol_names())}"
            )
        found = protocol(own if name == OWN and own is not None else name)
        settings, kept, parts = found.of_set(data), entry.segmentor.get("stages", []), []
        if "stages" in settings:
            own_to_it = {*FINISHING, *map(_kind, [*found.settings.get("stages", ()), *settings["stages"]])}
            parts = [stage for stage in kept if _kind(stage) not in own_to_it]
            settings["stages"] = [named_config("stages", stage) for stage in [*parts, *settings["stages"]]]
        by_hand = {key.removeprefix("model.") for key in options or {} if key.startswith("model.")}
        return cls(
            found,
            data,
            entry.name,
            settings,
            found.queries(data),
            found.head(data) if found.name == own else {},
            tuple(sorted(key for key in by_hand if key.partition(".")[0] not in AROUND)),
            tuple(map(_kind, parts)),
        )

    def lay(self, config: Config) -> None:
        """Change the model of a benchmark's config, but for what was set by hand."""
        queries = {} if self.queries is None else {"queries": self.queries}
        changes = {**self.settings, **queries, **self.head}
        config.model.update({name: value for name, value in changes.items() if name not in self.changed})

    def remarks(self, found: Mapping[str, Any]) -> list[str]:
        """The name of a mix with what is mixed, then what is not known of the publication.

        Args:
            found: the protocol of the model that was measured, see :attr:`Segmentor.protocol`.
        """
        mixed = self.mixed(found)
        named = [f"a mix, not the published protocol {self.protocol.name}: {'; '.join(mixed)}"] if mixed else []
        return [*named, *(f"{self.protocol.title}: {sentence}" for sentence in self.protocol.doubts(self.data))]

    def mixed(self, found: Mapping[str, Any]) -> list[str]:
        """What differs from the publication; empty where nothing does.

        Args:
            found: the protocol of the model that was measured, see :attr:`Segmentor.protocol`.
        """
        reasons = []
        if own_protocol(self.model) != self.protocol.name:
            reasons.append(f"the head of {self.model}")
        weights = str(found.get("encoder", "")).partition("@")[0]
        if self.protocol.encoders and weights not in self.protocol.encoders:
            reasons.append(f"the weights {weights} in the place of {self.protocol.encoders[0]}")
        if self.data not in self.protocol.sets:
            reasons.append(f"the data set {self.data}, which it is not published on")
        for name, wanted in self.settings.items():
            expected = _plain(name, wanted, self.parts)
            if name in found and not _same(found[name], expected):
                reasons.append(f"{name} {_shown(found[name])} in the place of {_shown(expected)}")
        if found.get("queries") != self.queries:
            reasons.append(f"the words of {found.get('queries', 'the data set')} in the place of {self.queries}")
        reasons += [f"{path} set by hand" for path in self.changed if path not in (*self.settings, "queries")]
        if found.get("mirrored"):
            reasons.append("mirror images averaged in")
        return reasons


def own_protocol(model: str) -> str | None:
    """The protocol that has the name of a model, or that its row names; None where there is none."""
    entry = model_entry(model.partition("@")[0])
    return entry.name if entry.name in protocol_names() else entry.protocol or None


def _kind(stage: Any) -> Any:
    return stage.get("type") if isinstance(stage, Mapping) else stage


def _plain(name: str, value: Any, parts: Sequence[str]) -> Any:
    """A setting as a segmentor's protocol shows it; of a stage that is part of the head its kind alone."""
    if name == "stages":
        return [_kind(one) if _kind(one) in parts else build(STAGES, one).name for one in value]
    return str(Background.parse(value)) if name == "background" else value


def _same(found: Any, expected: Any) -> bool:
    """Equal settings; names of stages may be kinds."""
    if not isinstance(expected, list):
        return bool(found == expected)
    pairs = zip(found, expected, strict=False)
    return len(found) == len(expected) and all(one == kind or str(one).partition("(")[0] == kind for one, kind in pairs)


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) or "none" if isinstance(value, list | tuple) else str(value)
