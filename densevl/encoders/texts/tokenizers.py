"""Tokenizers: from a text to the ids that a text tower embeds, by what one file says and nothing that runs.

Three kinds of file hold them: the merges of CLIP (:mod:`densevl.encoders.texts.byte_pairs`), ``tokenizer.json`` of
Hugging Face (read by ``tokenizers``), and the ``.model`` of sentencepiece. Which ids begin, end and fill up a text is
data of the tower, since files do not agree on where they say so: :data:`TOKENIZERS` knows those that open_clip's
architectures name.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

import torch
from jaxtyping import Int
from torch import Tensor

from densevl.core.class_names import class_names
from densevl.core.errors import TextTooLong, UsageError, WeightsError, first_line, shortened
from densevl.encoders.texts.byte_pairs import BytePairs
from densevl.encoders.texts.cleaning import CLEANING
from densevl.weights.table import DATA

__all__ = [
    "TOKENIZERS",
    "ClipTokenizer",
    "FileTokenizer",
    "SentencePieceTokenizer",
    "Tokenizer",
    "as_tokenizer",
    "check_vocabulary",
    "fit_texts",
    "read_tokenizer",
    "token_ids",
    "too_long",
]

TOKENIZERS: dict[str, dict[str, Any]] = json.loads((DATA / "tokenizers.json").read_text(encoding="utf-8"))["tokenizers"]
"""Tokenizers by name: repositories on the hub that hold one, its files, best first, and the ids around a text."""

SPARE = 128
"""Ids that a file may have beyond those of the tower: mT5's has 100 that no text yields, and SigLIP left them out."""


@runtime_checkable
class Tokenizer(Protocol):
    """From a text to ids.

    Attributes:
        start: id before a text; None for none.
        end: id behind a text; None for none.
        pad: id that fills up the shorter texts of a batch.
    """

    start: int | None
    end: int | None
    pad: int

    @property
    def vocab_size(self) -> int:
        """One more than the largest id."""
        ...

    def encode(self, text: str) -> list[int]:
        """The ids of a text, cleaned as the tower expects it, without those around it."""
        ...


class ClipTokenizer:
    """open_clip's own ``SimpleTokenizer``; ids are filled up with 0."""

    def __init__(self, simple: Any) -> None:
        self.simple = simple
        self.start: int | None = simple.sot_token_id
        self.end: int | None = simple.eot_token_id
        self.pad = 0

    @property
    def vocab_size(self) -> int:
        return self.simple.vocab_size

    def encode(self, text: str) -> list[int]:
        return self.simple.encode(text)


class FileTokenizer:
    """A ``tokenizer.json`` of Hugging Face, read by ``tokenizers``.

    Args:
        path: of the file.
        clean: how a text is cleaned before, one of :data:`densevl.encoders.texts.cleaning.CLEANING`.
        pad: id that fills up; None for the one that the file names, or calls ``<pad>`` or ``[PAD]``.
        around: ids before and behind a text, None for none; None in their place for those that the file adds.

    Raises:
        UsageError: where ``tokenizers`` is missing, or the cleaning is unknown.
        WeightsError: where the file is none, or does not say which ids these are.
    """

    def __init__(
        self,
        path: str | Path,
        clean: str = "whitespace",
        pad: int | None = None,
        around: tuple[int | None, int | None] | None = None,
    ) -> None:
        try:
            from tokenizers import Tokenizer as Tokens
        except ImportError as error:
            raise UsageError("tokenizer.json is read by tokenizers; install it: pip install tokenizers") from error
        self.path, self.clean = Path(path), _cleaning(clean)
        try:
            self.tokens = Tokens.from_file(str(path))
        except Exception as error:  # tokenizers raises plain exceptions alone
            raise WeightsError(f"{path} is no tokenizer.json: {first_line(error)}; fetch it again") from error
        # A file may ask to cut or fill up every text to one length, which is the tower's affair here.
        padding = self.tokens.padding
        self.tokens.no_padding()
        self.tokens.no_truncation()
        self.start, self.end = _around(self._ids, str(path)) if around is None else around
        named = [self.tokens.token_to_id(name) for name in ("<pad>", "[PAD]")]
        found = [one for one in (pad, padding and padding.get("pad_id"), *named) if one is not None]
        if not found:
            raise WeightsError(f"{path} does not say which id fills up short texts; name it as `pad` of the tokenizer")
        self.pad: int = found[0]  # type: ignore[assignment]

    @cached_property
    def vocab_size(self) -> int:
        return max(self.tokens.get_vocab(with_added_tokens=True).values()) + 1

    def encode(self, text: str) -> list[int]:
        return self._ids(self.clean(text), False)

    def _ids(self, text: str, special: bool) -> list[int]:
        return self.tokens.encode(text, add_special_tokens=special).ids


class SentencePieceTokenizer:
    """A ``.model`` of sentencepiece.

    Args:
        path: of the file.
        clean: how a text is cleaned before, one of :data:`densevl.encoders.texts.cleaning.CLEANING`.
        pad: id that fills up; None for the one that the file names.
        around: ids before and behind a text, None for none; None in their place for the end that the file names.

    Raises:
        UsageError: where ``sentencepiece`` is missing, or the cleaning is unknown.
        WeightsError: where the file is none, or does not say which id fills up.
    """

    def __init__(
        self,
        path: str | Path,
        clean: str = "whitespace",
        pad: int | None = None,
        around: tuple[int | None, int | None] | None = None,
    ) -> None:
        try:
            from sentencepiece import SentencePieceProcessor
        except ImportError as error:
            raise UsageError(".model is read by sentencepiece; install it: pip install sentencepiece") from error
        self.path, self.clean = Path(path), _cleaning(clean)
        try:
            self.pieces = SentencePieceProcessor(model_file=str(path))
        except (OSError, RuntimeError) as error:
            raise WeightsError(f"{path} is no sentencepiece model: {first_line(error)}; fetch it again") from error
        self.start, self.end = (None, _there(self.pieces.eos_id())) if around is None else around
        filling = _there(self.pieces.pad_id()) if pad is None else pad
        if filling is None:
            raise WeightsError(f"{path} does not say which id fills up short texts; name it as `pad` of the tokenizer")
        self.pad: int = filling

    @property
    def vocab_size(self) -> int:
        return self.pieces.vocab_size()

    def encode(self, text: str) -> list[int]:
        return self.pieces.encode(self.clean(text))


class WrappedTokenizer:
    """The tokenizer of transformers inside open_clip's ``HFTokenizer``, and the ids that it puts around a text."""

    def __init__(self, wrapped: Any) -> None:
        self.wrapped = wrapped
        self.start, self.end = _around(self._ids, str(wrapped.tokenizer.name_or_path))
        if wrapped.strip_sep_token and self.end == wrapped.tokenizer.sep_token_id:
            self.end = 0
        self.pad: int = wrapped.tokenizer.pad_token_id
        self.context: int | None = wrapped.context_length

    @property
    def vocab_size(self) -> int:
        return len(self.wrapped.tokenizer)

    def encode(self, text: str) -> list[int]:
        return self._ids(self.wrapped.clean_fn(text), False)

    def _ids(self, text: str, special: bool) -> list[int]:
        return self.wrapped.tokenizer(text, add_special_tokens=special).input_ids


def as_tokenizer(tokenizer: Any) -> Tokenizer | None:
    """A tokenizer of ours round one of open_clip's; None for another function from texts to ids."""
    names = class_names(type(tokenizer))
    if "open_clip.tokenizer.SimpleTokenizer" in names:
        return None if tokenizer.reduction_fn else ClipTokenizer(tokenizer)
    if "open_clip.tokenizer.HFTokenizer" in names:
        return None if tokenizer.tokenizer_mode else WrappedTokenizer(tokenizer)
    return tokenizer if isinstance(tokenizer, Tokenizer) else None


def token_ids(tokenizer: Tokenizer, texts: Sequence[str], context: int, cut: bool = False) -> Int[Tensor, "q n"]:
    """Ids of texts with those around them, filled up to the context.

    Args:
        tokenizer: what makes them.
        texts: what is tokenised.
        context: ids of a text at most, those around it included.
        cut: drop the last ids of a text that has more, and keep the id of its end.

    Raises:
        TextTooLong: where a text has more and is not to be cut.
    """
    before = [] if tokenizer.start is None else [tokenizer.start]
    behind = [] if tokenizer.end is None else [tokenizer.end]
    room = context - len(before) - len(behind)
    rows = torch.full((len(texts), context), tokenizer.pad, dtype=torch.long)
    for row, text in zip(rows, texts, strict=True):
        ids = tokenizer.encode(text)
        if len(ids) > room and not cut:
            raise too_long(text, len(ids) + context - room, context)
        whole = [*before, *ids[:room], *behind]
        row[: len(whole)] = torch.tensor(whole, dtype=torch.long)
    return rows


def too_long(text: str, count: int, context: int) -> TextTooLong:
    """The error of a text that has more tokens, start and end included, than a text encoder takes."""
    return TextTooLong(
        f"{shortened(text)!r} has {count} tokens, start and end included, and the text encoder takes {context}; "
        "shorten the class name, or separate the classes where this is a list",
        count,
        context,
    )


def fit_texts(fits: Callable[[str], bool], texts: Sequence[str], template: str) -> tuple[list[str], int]:
    """Texts without the last words that would not fit, and how many of them lost words; one word always stays.

    Args:
        fits: says of a text in the template.
        texts: what is shortened.
        template: what each is set into.
    """
    found = []
    for text in texts:
        words = text.split(" ")
        while len(words) > 1 and not fits(template.replace("{}", " ".join(words))):
            words.pop()
        found.append(" ".join(words))
    return found, sum(new != old for new, old in zip(found, texts, strict=True))


def check_vocabulary(tokenizer: Tokenizer, rows: int) -> None:
    """Refuse a tokenizer that belongs to another tower.

    Args:
        tokenizer: what is checked.
        rows: ids that the tower embeds.

    Raises:
        UsageError: where the tokenizer has more ids than the tower embeds.
    """
    if tokenizer.vocab_size > rows + SPARE:
        raise UsageError(
            f"the tokenizer has {tokenizer.vocab_size} ids and the text tower embeds {rows}: it belongs to another "
            "model; give the tokenizer file of this one"
        )


def read_tokenizer(text_cfg: Mapping[str, Any], place: str | Path | None = None) -> Any:
    """The tokenizer of an architecture, from its file.

    Args:
        text_cfg: of the architecture, as open_clip writes it: ``hf_tokenizer_name``, ``tokenizer_kwargs``,
            ``context_length``, ``vocab_size``. In place of the name, ``tokenizer`` may name one of
            :data:`TOKENIZERS`, or hold such a row.
        place: the file, or the folder that holds it under its own name.

    Returns:
        A :class:`Tokenizer`, or open_clip's own ``SimpleTokenizer`` where the architecture has CLIP's with settings
        beyond its merges and cleaning; None for a language model, which brings its own.

    Raises:
        UsageError: where ``tokenizer_kwargs`` has what is not understood, or a library is missing.
        WeightsError: where the file is not there, is damaged, or belongs to another architecture.
    """
    if "llm" in text_cfg:
        return None
    name, row = text_cfg.get("hf_tokenizer_name"), text_cfg.get("tokenizer")
    settings = dict(text_cfg.get("tokenizer_kwargs") or {})
    if name is None and row is None:
        return _clip_tokenizer(settings, text_cfg.get("context_length", 77), place)
    row = dict(_row(str(name)) if row is None else _row(row) if isinstance(row, str) else row)
    clean = settings.pop("clean", row.get("clean", "whitespace"))
    strip = settings.pop("strip_sep_token", False)
    if settings:
        raise UsageError(f"tokenizer_kwargs {', '.join(sorted(settings))} are not understood; there is clean")
    path = _tokenizer_file(tuple(row.get("files", ("tokenizer.json",))), place, str(name or "the model"))
    kind = SentencePieceTokenizer if path.suffix == ".model" else FileTokenizer
    around = (row.get("start"), row.get("end")) if {"start", "end"} & set(row) else None
    tokenizer = kind(path, clean, row.get("pad"), around)
    if strip:  # open_clip writes 0 in the place of the separator that ends a text
        tokenizer.end = 0
    expected = text_cfg.get("vocab_size")
    if expected and not 0.9 * expected <= tokenizer.vocab_size <= expected + SPARE:
        raise WeightsError(
            f"{path} has {tokenizer.vocab_size} ids, and the text tower has {expected}: it is another tokenizer; "
            f"give {path.name} of {name or 'the model'}"
        )
    return cast(Tokenizer, tokenizer)


def _clip_tokenizer(settings: Mapping[str, Any], context: int, place: str | Path | None) -> Any:
    """CLIP's tokenizer: over the merges of a file that is given, those of a file of densevl, or open_clip's own.

    Raises:
        WeightsError: where the file that is given holds no merges.
    """
    settings = dict(settings)
    if place is not None and not Path(place).is_dir():
        settings["bpe_path"] = str(place)
    elif "bpe_path" in settings:
        settings["bpe_path"] = str(DATA / settings["bpe_path"])
    try:
        if settings.keys() <= {"bpe_path", "clean"}:
            _cleaning(settings.get("clean", "lower"))
            return BytePairs(settings.get("bpe_path"), context, settings.get("clean", "lower"))
        from open_clip.tokenizer import SimpleTokenizer  # further settings drop tokens, or add some

        return SimpleTokenizer(context_length=context, **settings)
    except OSError as error:
        raise WeightsError(
            f"{place} holds no merges of CLIP's tokenizer ({first_line(error)}); leave it out, or give a .txt.gz"
        ) from error


def _row(name: str) -> Mapping[str, Any]:
    """What is known of a tokenizer by its name or its repository; nothing of one that is not known."""
    return next((row for key, row in TOKENIZERS.items() if name == key or name in row["names"]), {})


def _tokenizer_file(names: Sequence[str], place: str | Path | None, owner: str) -> Path:
    """The file of a tokenizer.

    Raises:
        WeightsError: where it is not there, or of another kind.
    """
    given = None if place is None else Path(place).expanduser()
    page = f" (https://huggingface.co/{owner}/tree/main)" if "/" in owner else ""
    wanted = f"{' or '.join(names)} of {owner}{page}"
    if given is None or given.is_dir():
        found = [path for name in names if given is not None and (path := given / name).is_file()]
        if not found:
            raise WeightsError(f"the tokenizer is missing: put {wanted} into {given or 'the folder of the weights'}")
        return found[0]
    if not given.is_file():
        raise WeightsError(f"the tokenizer {given} does not exist; it is {wanted}")
    if given.suffix not in {Path(name).suffix for name in names}:
        raise WeightsError(f"{given} has other ids than the text tower; it takes {wanted}")
    return given


def _cleaning(name: str) -> Callable[[str], str]:
    if name not in CLEANING:
        raise UsageError(f"texts are cleaned by {', '.join(CLEANING)}; got {name!r}")
    return CLEANING[name]


def _around(ids: Callable[[str, bool], list[int]], name: str) -> tuple[int | None, int | None]:
    """The id before a text and the one behind it.

    Args:
        ids: of a text, bare or with those around it.
        name: of the tokenizer, for the message.

    Raises:
        WeightsError: where there are more than one before or behind.
    """
    bare, whole = ids("a", False), ids("a", True)
    before = next((place for place in range(len(whole)) if whole[place : place + len(bare)] == bare), len(whole))
    behind = whole[before + len(bare) :]
    if before > 1 or len(behind) > 1:
        raise WeightsError(f"{name} puts {whole} around a text; one id before and one behind are understood")
    return whole[0] if before else None, behind[0] if behind else None


def _there(id: int) -> int | None:
    """An id of sentencepiece, which says -1 for none."""
    return None if id < 0 else id
