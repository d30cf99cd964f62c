"""Deltas: what tuning learnt, as a small value that belongs to one encoder and can be kept in any tensor file.

In a file the header has ``delta``, JSON: ``{"model_id": …, "images": …, "parts": [{"type": …, …settings}]}``; the
tensors of part i are named ``delta.i.NAME``.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import safetensors
from torch import Tensor

from densevl.core.errors import UsageError, WeightsError, shortened
from densevl.core.files import parse_json
from densevl.core.tensor_bytes import tensor_bytes

__all__ = ["Delta", "before_tuning"]

MARK = "+delta:"
"""What stands in the identity of an encoder between that of the encoder before it was tuned and the delta."""


def before_tuning(model_id: str) -> str:
    """Identity of an encoder as it was before it was tuned; what was trained on it goes on reading the tuned one."""
    return model_id.partition(MARK)[0]


@dataclass(frozen=True, eq=False)
class Delta:
    """What tunables learnt.

    Attributes:
        model_id: identity of the encoder that they were tuned in.
        parts: config of each tunable: its registered name as ``type``, and its settings.
        tensors: parameters of each tunable by name.
        images: whether the image tower computes something else than without it; vectors then have another identity,
            and whoever uses them must load the encoder with it.
    """

    model_id: str
    parts: Sequence[Mapping[str, Any]]
    tensors: Sequence[Mapping[str, Tensor]]
    images: bool

    @cached_property
    def digest(self) -> str:
        """The beginning of a hash of all that it holds."""
        return hashlib.sha256(tensor_bytes(self.flat, {"delta": self.header})).hexdigest()[:12]

    @property
    def tuned_id(self) -> str:
        """Identity of the vectors of images of the encoder with it."""
        return f"{self.model_id}{MARK}{self.digest}" if self.images else self.model_id

    @property
    def header(self) -> str:
        """What a file says of it beside the tensors."""
        said = {"model_id": self.model_id, "images": self.images, "parts": [dict(part) for part in self.parts]}
        return json.dumps(said, ensure_ascii=False)

    @property
    def flat(self) -> dict[str, Tensor]:
        """The tensors by their names in a file."""
        pairs = enumerate(self.tensors)
        return {f"delta.{place}.{name}": tensor for place, own in pairs for name, tensor in own.items()}

    @classmethod
    def from_file(cls, header: str, tensors: Mapping[str, Tensor]) -> "Delta":
        """The delta of a file.

        Args:
            header: what :attr:`header` gave.
            tensors: of the file; others may be among them.

        Raises:
            KeyError, TypeError, ValueError: where the file holds no delta of this form.
        """
        said = parse_json(header)
        own: list[dict[str, Tensor]] = [{} for _ in said["parts"]]
        for name, tensor in tensors.items():
            if name.startswith("delta."):
                place, _, rest = name.removeprefix("delta.").partition(".")
                own[int(place)][rest] = tensor
        return cls(str(said["model_id"]), tuple(said["parts"]), tuple(own), bool(said["images"]))

    @classmethod
    def load(cls, path: str | Path) -> "Delta":
        """The delta that a file holds, such as the classes that ``densevl tune`` wrote.

        Raises:
            UsageError: where there is no such file, or none in it.
            WeightsError: where it is damaged.
        """
        path = Path(path).expanduser()
        if not path.is_file():
            raise UsageError(f"there is no file {path}; make one with `densevl tune EXAMPLES --out {path}`")
        try:
            with safetensors.safe_open(path, "pt") as file:
                header = dict(file.metadata() or {}).get("delta")
                names = [name for name in file.keys() if name.startswith("delta.")]  # noqa: SIM118  (no dict)
                tensors = {name: file.get_tensor(name) for name in names}
            if header is None:
                raise UsageError(f"{path} holds no delta of an encoder; give a file that `densevl tune` wrote")
            found = cls.from_file(header, tensors)
        except (safetensors.SafetensorError, KeyError, TypeError, ValueError, IndexError, OSError) as error:
            raise WeightsError(f"{path} is damaged ({shortened(str(error))}); tune anew") from None
        if not all(tensor.isfinite().all() for tensor in tensors.values()):
            raise WeightsError(f"{path} is damaged: it holds values that are not finite; tune anew")
        return found
