"""Language models of transformers as they lie in a folder, loaded when the first text needs them.

Safetensors, ``config.json`` and a tokenizer file alone are read; code that a repository brings is not run, and nothing
is fetched, since these models have many gigabytes: :func:`find_language_model` says where one belongs.
"""

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from densevl.core.errors import UsageError, WeightsError, first_line
from densevl.core.files import parse_json
from densevl.encoders.texts.tokenizers import FileTokenizer, SentencePieceTokenizer, Tokenizer
from densevl.weights import cache_dir

__all__ = ["LanguageModel", "find_language_model"]

SAMPLE = 1 << 16
SAMPLES = 16
"""The fingerprint reads this many pieces of so many bytes from each file of weights: a whole one takes minutes."""


class LanguageModel:
    """A decoder of transformers with its tokenizer.

    Args:
        name: a folder, or a repository on the hub whose files are on this machine.
        layer: the block whose output is read, from 1; None for the last one with its normalisation.
    """

    def __init__(self, name: str, layer: int | None = None) -> None:
        self.name, self.layer = name, layer

    @cached_property
    def folder(self) -> Path:
        """Where its files lie.

        Raises:
            WeightsError: where they are not here.
        """
        return find_language_model(self.name)

    @cached_property
    def config(self) -> dict[str, Any]:
        """What ``config.json`` says.

        Raises:
            WeightsError: where the file is damaged.
        """
        file = self.folder / "config.json"
        try:
            found = parse_json(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise WeightsError(f"{file} cannot be read: {first_line(error)}; fetch it again") from error
        if not isinstance(found, dict):
            raise WeightsError(f"{file} is no config of transformers; fetch it again")
        return found

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """Its tokenizer; texts are taken as they are.

        Raises:
            WeightsError: where its file is missing or damaged.
        """
        file, model = self.folder / "tokenizer.json", self.folder / "tokenizer.model"
        if file.is_file():
            return FileTokenizer(file, "none", pad=0)
        if model.is_file():
            found = SentencePieceTokenizer(model, "none", pad=0)
            found.start, found.end = self.config.get("bos_token_id"), None
            return found
        raise WeightsError(f"{self.folder} has no tokenizer; put tokenizer.json of {self.name} there")

    @cached_property
    def identity(self) -> str:
        """A fingerprint of its files and the layer that is read; pieces of each file of weights stand for the whole."""
        digest = hashlib.sha256(json.dumps(self.layer).encode())
        for path in sorted(self.folder.iterdir()):
            if path.suffix == ".safetensors":
                size = path.stat().st_size
                digest.update(f"{path.name} {size}".encode())
                with path.open("rb") as file:
                    for piece in range(SAMPLES):
                        file.seek(piece * max(size - SAMPLE, 0) // (SAMPLES - 1))
                        digest.update(file.read(SAMPLE))
            elif path.name in ("config.json", "tokenizer.json", "tokenizer.model"):
                digest.update(path.read_bytes())
        return f"{self.folder.name}@{digest.hexdigest()[:12]}"

    @cached_property
    def model(self) -> Any:
        """The model of transformers in the dtype of its files, for inference.

        Raises:
            UsageError: where transformers is missing.
            WeightsError: where the files are no whole model that transformers knows without code of a repository.
        """
        try:
            from transformers import AutoModel
        except ImportError as error:
            raise UsageError("language models need transformers; install it: pip install 'densevl[llm]'") from error
        try:
            model, notes = AutoModel.from_pretrained(
                self.folder,
                dtype="auto",
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
                output_loading_info=True,
            )
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise WeightsError(
                f"no language model can be loaded from {self.folder}: {first_line(error)}; it takes config.json, "
                "tokenizer.json and all .safetensors files of a decoder that transformers knows"
            ) from error
        absent = sorted(notes["missing_keys"]) + sorted(notes["mismatched_keys"])
        if absent:
            raise WeightsError(
                f"{self.folder} is no complete language model: {len(absent)} weights are missing, such as {absent[0]}"
            )
        depth = int(model.config.num_hidden_layers)
        if self.layer is not None and not 1 <= self.layer <= depth:
            raise UsageError(
                f"the language model {self.name} has blocks 1 to {depth}; block {self.layer} is to be read"
            )
        return model.eval().requires_grad_(False)

    @torch.no_grad()
    def states(
        self, ids: Int[Tensor, "q n"], sees: Bool[Tensor, "q n n"], places: Int[Tensor, "q n"]
    ) -> Float[Tensor, "q n c"]:
        """The output of the block that is read, for each token.

        Args:
            ids: of texts.
            sees: which token (row) attends to which (column); each to at least one.
            places: position of each token in its text.
        """
        model = self.model.to(ids.device)
        dtype = model.dtype
        mask = torch.zeros(sees.shape, dtype=dtype, device=ids.device).masked_fill_(~sees, torch.finfo(dtype).min)
        found = model(
            input_ids=ids,
            attention_mask=mask[:, None],
            position_ids=places,
            use_cache=False,
            output_hidden_states=self.layer is not None,
        )
        return found.last_hidden_state if self.layer is None else found.hidden_states[self.layer]


def find_language_model(name: str) -> Path:
    """The folder of a language model on this machine.

    Args:
        name: a folder, or a repository on the hub. Its files are looked for in the folder of densevl's cache that has
            the last part of its name, then in the hub's own cache.

    Raises:
        WeightsError: where it is not here.
    """
    own = cache_dir() / "weights" / name.rstrip("/").rpartition("/")[2]
    folders = [Path(name).expanduser(), own, _in_hub_cache(name)]
    found = next((folder for folder in folders if folder is not None and (folder / "config.json").is_file()), None)
    if found is not None:
        return found
    if name.count("/") != 1 or name.startswith((".", "~", "/")):
        raise WeightsError(
            f"{name} holds no language model; put config.json, tokenizer.json and the .safetensors files of a decoder "
            "of transformers there, or name another folder as `llm` in the architecture"
        )
    raise WeightsError(
        f"the language model {name} is not on this machine; bring config.json, tokenizer.json and the .safetensors "
        f"files of https://huggingface.co/{name} into {own}, for example by "
        f"`hf download {name} --local-dir {own}`; it has gigabytes, and is not fetched unasked"
    )


def _in_hub_cache(name: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(name, "config.json")
    except HFValidationError:  # a path is no name of a repository
        return None
    return Path(found).parent if isinstance(found, str) else None
