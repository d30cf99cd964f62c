"""Text embeddings on disk: 80 templates for each class of a benchmark take minutes, and are always the same.

One safetensors file holds the embeddings of one model with one set of templates; its metadata name the texts and a
checksum. A file that cannot be used is treated as absent and written anew. Writers replace a file whole, so that
readers never see half of one; of two writers at the same time one may lose what it added, which costs its
recomputation.
"""

import hashlib
import json
import re
import warnings
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float32
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from densevl.core.errors import OutputError
from densevl.core.files import atomic_write, parse_json
from densevl.weights import cache_dir

__all__ = ["TextCache"]


@dataclass(frozen=True)
class TextCache:
    """A folder of text embeddings.

    Attributes:
        folder: where the files lie; None for ``text`` in densevl's cache.
        max_bytes: files not written to for longest are removed where the folder holds more.
        max_texts: a file keeps this many texts, the newest.
    """

    folder: Path | None = None
    max_bytes: int = 256 * 2**20
    max_texts: int = 20_000

    def of_states(self) -> "TextCache":
        """The cache of vectors of language models, which are long: a folder of its own, with more room."""
        folder = self.folder or cache_dir() / "text"
        return replace(self, folder=folder / "states", max_bytes=8 * self.max_bytes)

    def path(self, model_id: str, templates: Sequence[str], dtype: torch.dtype) -> Path:
        """The file of a model, its arithmetic and its templates."""
        identity = json.dumps([model_id, str(dtype), list(templates)])
        digest = hashlib.sha256(identity.encode()).hexdigest()[:16]
        name = re.sub(r"[^A-Za-z0-9.-]+", "_", model_id)[:80]
        return (self.folder or cache_dir() / "text") / f"{name}-{digest}.safetensors"

    def read(self, path: Path) -> dict[str, Float32[Tensor, " d"]]:
        """The embeddings of a file, by text; empty where there is no usable file."""
        try:
            with safe_open(path, framework="np") as file:  # which opens it once, as a file that others replace must be
                metadata = file.metadata() or {}
                vectors = torch.from_numpy(file.get_tensor("vectors"))
            listed = metadata["texts"]
            if metadata["checksum"] != _checksum(listed, vectors):
                return {}
            return dict(zip(parse_json(listed), vectors, strict=True))
        except (OSError, SafetensorError, KeyError, ValueError, TypeError):
            return {}

    def add(self, path: Path, embeddings: Mapping[str, Float32[Tensor, " d"]]) -> None:
        """Add embeddings to a file; a folder that cannot be written to costs a warning and nothing else."""
        if not embeddings:
            return
        known = self.read(path)
        merged = {text: vector for text, vector in known.items() if text not in embeddings} | dict(embeddings)
        texts = list(merged)[-self.max_texts :]
        vectors = torch.stack([merged[text].cpu() for text in texts])
        listed = json.dumps(texts)
        metadata = {"texts": listed, "checksum": _checksum(listed, vectors)}
        try:
            with atomic_write(path) as temporary:
                save_file({"vectors": vectors}, temporary, metadata)
            self._remove_oldest(path)
        except (OSError, SafetensorError, OutputError) as error:
            warnings.warn(f"text embeddings are not kept for the next time: {error}", stacklevel=2)

    def _remove_oldest(self, newest: Path) -> None:
        """Bring the folder below its limit, leaving the file just written."""
        files = {}
        for path in newest.parent.glob("*.safetensors"):
            with suppress(OSError):
                files[path] = path.stat()
        total = sum(stat.st_size for stat in files.values())
        for path in sorted(files, key=lambda path: files[path].st_mtime_ns):
            if total <= self.max_bytes:
                return
            if path != newest:
                with suppress(OSError):
                    path.unlink()
                total -= files[path].st_size


def _checksum(texts: str, vectors: Tensor) -> str:
    return f"{zlib.crc32(vectors.contiguous().numpy().data, zlib.crc32(texts.encode())):08x}"
