"""The weights that densevl knows by name: where they come from, how to check them, under which licence."""

import json
import os
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from densevl.core.errors import UsageError, suggestion
from densevl.core.plugins import plugin_rows

__all__ = ["DATA", "WeightsEntry", "weights_entry", "weights_table"]

DATA = Path(__file__).parents[1] / "data"
HUB = "https://huggingface.co"

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class WeightsEntry:
    """One file of weights.

    Attributes:
        name: what users call it.
        file: its name on the hub; the path below ``folder`` where it is ``packaged``.
        kind: what it holds, such as ``"clip"``.
        licence: under which it may be used.
        parameters: how many numbers it holds.
        arch: architecture, by its name in open_clip.
        tag: open_clip's name for the training that made it.
        repository: repository on the hub.
        revision: commit of the repository.
        url: address of a file that is on no hub.
        size: in bytes, where known.
        sha256: of the file. Where no hash is known, what the hub declares is used and kept beside the file.
        git_blob: id of the file in a git repository, which is a hash of its content too; for a file whose sha256 was
            never published.
        mean: what the encoder subtracts from RGB in [0, 1].
        std: what it then divides by.
        resize: how whole images are brought to the size of the model: ``"crop"`` or ``"squash"``.
        interpolation: by which the training resized images: ``"bicubic"`` or ``"bilinear"``.
        layout: the names that the file gives its tensors, see :mod:`densevl.weights.layouts`; None to tell by them.
        base: the weights that a file of a part of a model was made from; several where they lie in several files.
        tokenizer: the file of the tokenizer, among those ``beside``; None for CLIP's own.
        readers: the model whose readers these weights take where they are named as a model; empty for the usual ones.
        packaged: whether the file comes with a package: densevl, the plug-in whose row it is, or another.
        folder: where packaged files lie.
        distribution: the package that it comes with, as it is installed, where that is another.
        beside: smaller files of the repository that are read beside it, such as those of a tokenizer; they lie in its
            folder.
        paper: who made it.
        note: what else to know.
    """

    name: str
    file: str
    kind: str
    licence: str
    parameters: int = 0
    arch: str | None = None
    tag: str | None = None
    repository: str | None = None
    revision: str | None = None
    url: str | None = None
    size: int | None = None
    sha256: str | None = None
    git_blob: str | None = None
    mean: Triple = (0.48145466, 0.4578275, 0.40821073)
    std: Triple = (0.26862954, 0.26130258, 0.27577711)
    resize: str = "crop"
    interpolation: str = "bicubic"
    layout: str | None = None
    base: str | tuple[str, ...] | None = None
    tokenizer: str | None = None
    readers: str = ""
    packaged: bool = False
    folder: Path = field(default=DATA, repr=False)
    distribution: str = ""
    beside: tuple["WeightsEntry", ...] = ()
    paper: str = ""
    note: str = ""

    @property
    def bases(self) -> tuple[str, ...]:
        """Names of the weights that it lies on; none where it is whole."""
        return (self.base,) if isinstance(self.base, str) else self.base or ()

    @property
    def files(self) -> tuple["WeightsEntry", ...]:
        """One entry for each file, the largest last: where it is here, so are the others."""
        return (*self.beside, replace(self, beside=()))

    @property
    def digest(self) -> str | None:
        """The hexadecimal hash that the file is checked by: sha256 (64 digits), else git blob id (40 digits)."""
        return self.sha256 or self.git_blob

    @property
    def address(self) -> str:
        """The URL that the file is fetched from; ``HF_ENDPOINT`` names a mirror of the hub."""
        if self.url is not None:
            return self.url
        hub = os.environ.get("HF_ENDPOINT", "").rstrip("/") or HUB
        return f"{hub}/{self.repository}/resolve/{self.revision}/{self.file}"

    @property
    def page(self) -> str:
        """The page that shows the file's size and sha256 to people."""
        return self.url or f"{HUB}/{self.repository}/blob/{self.revision}/{self.file}"

    @property
    def bytes(self) -> int:
        """Size of all files; where it is not known, four bytes for each parameter."""
        if self.packaged and (self.folder / self.file).is_file():
            return (self.folder / self.file).stat().st_size
        return (self.size or 4 * self.parameters) + sum(one.bytes for one in self.beside)


@cache
def weights_table() -> dict[str, WeightsEntry]:
    """All weights by name, those of plug-ins last.

    Raises:
        UsageError: where a row of a plug-in is none.
    """
    own = json.loads((DATA / "weights.json").read_text(encoding="utf-8"))["weights"]
    table = {name: _entry(name, fields) for name, fields in own.items()}
    for name, (plugin, row) in plugin_rows("weights.json", own, within="weights").items():
        try:
            table[name] = _entry(name, {**row, "folder": plugin.folder or DATA})
        except TypeError as error:
            raise UsageError(f"weights.json of the plug-in {plugin.module}: row {name!r} is none: {error}") from error
    return table


def weights_entry(name: str) -> WeightsEntry:
    """The entry of a name.

    Raises:
        UsageError: where there is none.
    """
    if name not in weights_table():
        raise UsageError(f"weights {name!r} are unknown; {suggestion(name, weights_table())}, or give a file")
    return weights_table()[name]


def _entry(name: str, fields: dict[str, Any]) -> WeightsEntry:
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}
    beside = values.pop("beside", {})
    entry = WeightsEntry(name, **values)
    own = {"parameters": 0, "size": None}  # of the weights, not of what lies beside them
    return replace(entry, beside=tuple(replace(entry, file=file, **(own | known)) for file, known in beside.items()))
