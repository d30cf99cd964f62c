"""Classifiers as named tensors and plain values, to be written to files and made again of them without any pickle.

A *kind* is a row of :data:`densevl.classifiers.KINDS`: a dataclass. Its fields say what is stored:

* ``vocabulary``, ``model_id`` and ``space`` are those of the whole classifier, which the file holds once;
* a tensor is stored under the name of its field, one of a mapping under ``field.key``;
* a value of a kind, or a sequence of such values, is stored the same way, under the name of its field;
* a field whose metadata has ``stored`` false is left out, and has its default when the value is read;
* everything else is a value that JSON knows.

So a new kind of classifier is a dataclass and a row, and nothing else has to be written for it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

from torch import Tensor

from densevl.classifiers import KINDS
from densevl.core.errors import UsageError
from densevl.core.vocabulary import Vocabulary

__all__ = ["restored", "stored"]

SHARED = ("vocabulary", "model_id", "space")
"""Fields that all parts of a classifier have in common."""


def stored(value: Any) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """A classifier as a description that JSON knows, and tensors by name.

    Args:
        value: of a kind.

    Raises:
        UsageError: where it, or a part of it, is of no known kind.
    """
    described: dict[str, Any] = {"kind": _kind(value)}
    tensors: dict[str, Tensor] = {}
    for field in fields(value):
        if field.name in SHARED or not field.metadata.get("stored", True):
            continue
        described[field.name] = _described(getattr(value, field.name), field.name, tensors)
    return described, tensors


def restored(
    described: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    vocabulary: Vocabulary,
    model_id: str,
    space: str | None,
) -> Any:
    """The classifier of what :func:`stored` gave.

    Args:
        described: the description.
        tensors: by name; others may be among them.
        vocabulary: the classes.
        model_id: identity of the encoder and its weights.
        space: which vectors of the model it takes.

    Raises:
        UsageError: where its kind is unknown.
        KeyError: where a tensor or a value is missing.
        TypeError: where a value is one that its kind does not take.
    """
    name = described["kind"]
    kind = KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise UsageError(f"kind {name!r} of a classifier is unknown; there are {', '.join(KINDS.names)}")
    shared = {"vocabulary": vocabulary, "model_id": model_id, "space": space}
    values = {}
    for field in fields(kind):
        if field.name in shared:
            values[field.name] = shared[field.name]
        elif field.name in described or field.default is MISSING:  # a file is older than a field with a default
            values[field.name] = _restored(described[field.name], f"{field.name}", tensors, shared)
    return kind(**values)


def _kind(value: Any) -> str:
    """The name of the kind of a value."""
    name = KINDS.name_of(value)
    if name is None:
        raise UsageError(f"a {type(value).__qualname__} cannot be stored in a file of classes; add it to KINDS")
    return name


def _described(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """The description of the value of a field, whose tensors are added to the others."""
    if isinstance(value, Tensor):
        tensors[name] = value.detach().cpu().contiguous()
        return {"tensor": name}
    if is_dataclass(value):
        described, inner = stored(value)
        tensors.update({f"{name}.{key}": tensor for key, tensor in inner.items()})
        return described
    if isinstance(value, Mapping):
        return {"values": {key: _described(one, f"{name}.{key}", tensors) for key, one in value.items()}}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_described(one, f"{name}.{place}", tensors) for place, one in enumerate(value)]
    return value


def _restored(value: Any, name: str, tensors: Mapping[str, Tensor], shared: Mapping[str, Any]) -> Any:
    """The value of a field from its description."""
    if isinstance(value, list):
        return tuple(_restored(one, f"{name}.{place}", tensors, shared) for place, one in enumerate(value))
    if not isinstance(value, Mapping):
        return value
    if "tensor" in value:
        return tensors[name]
    if "values" in value:
        return {key: _restored(one, f"{name}.{key}", tensors, shared) for key, one in value["values"].items()}
    start = f"{name}."
    inner = {key.removeprefix(start): tensor for key, tensor in tensors.items() if key.startswith(start)}
    return restored(value, inner, **shared)
