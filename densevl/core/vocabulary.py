"""Vocabularies: classes, their synonyms, their colours.

Segmentors, data sets and drawings read the same vocabulary, so that they cannot disagree on what label 7 means. What
users write::

    cat, sofa|couch, dog        commas between classes, bars between the synonyms of one class
    cat; sofa|couch; dog        so are semicolons, tabs and line breaks, of one kind in a text

    # my_classes.txt            one class a line; blank lines and comments are skipped
    cat
    sofa, couch                 commas (or bars) between the synonyms

A backslash takes what follows it as it stands: ``rock\\, paper``, ``C\\|O``, ``\\#1``, ``TV\\/radio``,
``salt \\and pepper``. Words that may join two classes ("grass/brick", "grass and brick") are refused without it. White
space at the ends is dropped and inside counts as one space; two names that differ only in case or white space are the
same.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from densevl.core.errors import UsageError, shortened, suggestion
from densevl.core.files import parse_json
from densevl.core.palette import named_palette

__all__ = [
    "Colour",
    "Vocabulary",
    "background_words",
    "literal",
    "normalised",
    "split_unescaped",
    "templates",
    "vocabulary_names",
]

Colour = tuple[int, int, int]
"""RGB in 0..255."""

DATA = Path(__file__).parents[1] / "data"
COMMAS, SEMICOLONS, LINES = ",，、", ";；", "\n\r\t"
SEPARATORS = (COMMAS, SEMICOLONS, LINES)
"""What stands between classes, by kind."""

_ESCAPE = r"\\(?:[,，、;；|#\\/&+]|(?:and|or)\b)"
_JOINT = re.compile(r"(?<!\\)/|(?<=\s)(?:and|or|&|\+)(?=\s)", re.IGNORECASE)
_COLOUR = "(?:black|white|red|green|blue|yellow|orange|pink|purple|brown|gr[ae]y|beige|tan|gold|silver)"
_COLOURS = re.compile(rf"\b{_COLOUR} and {_COLOUR}\b", re.IGNORECASE)

MOST_CLASSES = 65534
"""Labels are stored in 16 bits, of which one value means "ignored"."""


@dataclass(frozen=True)
class Vocabulary:
    """Classes in the order of their labels.

    Attributes:
        name: of the list, for reports.
        classes: the synonyms of each class; the first one is its name.
        background: label of the class that stands for everything else, or None.
        palette: colour of each class; chosen by :func:`densevl.core.palette.named_palette` where it is empty.
        source: who defined the list.

    Raises:
        UsageError: where there is no class, a class is empty or two classes share a word.
    """

    name: str
    classes: tuple[tuple[str, ...], ...]
    background: int | None = None
    palette: tuple[Colour, ...] = ()
    source: str = ""

    def __post_init__(self) -> None:
        classes = tuple(tuple(" ".join(word.split()) for word in synonyms) for synonyms in self.classes)
        _check_classes(classes)
        object.__setattr__(self, "classes", classes)
        object.__setattr__(self, "palette", self.palette or named_palette(classes))
        if self.background is not None and not 0 <= self.background < len(classes):
            raise UsageError(f"background must be a class from 0 to {len(classes) - 1}; got {self.background}")
        if len(self.palette) != len(classes):
            raise UsageError(f"expected a colour for each of the {len(classes)} classes; got {len(self.palette)}")
        wrong = [
            colour for colour in self.palette if len(colour) != 3 or not all(0 <= channel <= 255 for channel in colour)
        ]
        if wrong:
            raise UsageError(f"a colour is three numbers from 0 to 255; got {wrong[0]}")

    def __len__(self) -> int:
        """Number of classes, the background among them."""
        return len(self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        """First synonym of each class."""
        return tuple(synonyms[0] for synonyms in self.classes)

    @property
    def queries(self) -> tuple[str, ...]:
        """All synonyms of all classes, class by class."""
        return tuple(word for synonyms in self.classes for word in synonyms)

    @property
    def query_classes(self) -> tuple[int, ...]:
        """Label of the class of each query."""
        return tuple(label for label, synonyms in enumerate(self.classes) for _ in synonyms)

    def label(self, name: str) -> int | None:
        """The label of the class that has a name or a synonym; None where there is none."""
        wanted = normalised(name)
        pairs = zip(self.queries, self.query_classes, strict=True)
        return next((label for word, label in pairs if normalised(word) == wanted), None)

    @classmethod
    def from_classes(cls, classes: Sequence[str | Sequence[str]], name: str = "custom") -> "Vocabulary":
        """From names and lists of synonyms, ``["cat", ["sofa", "couch"]]``, taken as they stand.

        A class named "background" becomes the background class.

        Raises:
            UsageError: where the classes cannot be used.
        """
        if isinstance(classes, str):
            raise UsageError(f"expected a list of classes; got the text {classes!r}: use Vocabulary.parse for it")
        if not isinstance(classes, Iterable):
            raise UsageError(f"expected a list of classes; got {shortened(repr(classes))}")
        grouped = tuple((synonyms,) if isinstance(synonyms, str) else synonyms for synonyms in classes)
        for synonyms in grouped:
            if not isinstance(synonyms, list | tuple) or not all(isinstance(word, str) for word in synonyms):
                raise UsageError(f"a class is a text or a list of texts; got {shortened(repr(synonyms))}")
        return cls(name, tuple(map(tuple, grouped)), _literal_background(grouped))

    @classmethod
    def parse(cls, text: str, name: str = "custom") -> "Vocabulary":
        """From ``"cat, sofa|couch, dog"``; semicolons, tabs and line breaks separate classes, too.

        Raises:
            UsageError: where the classes cannot be used.
        """
        if not isinstance(text, str):
            raise UsageError(f"expected a text such as 'cat, sofa|couch'; got {shortened(repr(text))}")
        entries = _entries(text.strip()) if text.strip() else []
        for entry in entries:
            _check_joined(entry)
        return cls.from_classes([[literal(word) for word in split_unescaped(entry, "|")] for entry in entries], name)

    @classmethod
    def of(cls, classes: "Vocabulary | str | Sequence[str | Sequence[str]]") -> "Vocabulary":
        """A vocabulary as it is, or from a text or a list."""
        if isinstance(classes, Vocabulary):
            return classes
        return cls.parse(classes) if isinstance(classes, str) else cls.from_classes(classes)

    @classmethod
    def load(cls, source: str | Path) -> "Vocabulary":
        """A built-in vocabulary by its name, or a ``.json`` or text file.

        Args:
            source: a name of :func:`vocabulary_names`, one of a collection (``"sclip/voc21"``, ``"mess/suim"``), or a
                path.

        Raises:
            UsageError: where the name is unknown, or the file is missing, not UTF-8 or holds no usable classes.
        """
        if not isinstance(source, str | Path):
            raise UsageError(f"expected the name or the path of a vocabulary; got {shortened(repr(source))}")
        if str(source) in (*vocabulary_names(), *_names("vocabularies", "*/*")):
            return _built_in(str(source))
        path = Path(source).expanduser()
        if not path.is_file():
            raise UsageError(_not_found(str(source), path))
        try:
            text = path.read_text(encoding="utf-8-sig")
            return _from_json(parse_json(text), path.stem) if path.suffix == ".json" else _from_lines(text, path.stem)
        except OSError as error:
            raise UsageError(f"cannot read the vocabulary {path}: {error.strerror or error}") from error
        except UnicodeDecodeError as error:
            raise UsageError(f"vocabulary {path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from error
        except json.JSONDecodeError as error:
            raise UsageError(f"vocabulary {path} is not JSON: line {error.lineno}: {error.msg}") from error
        except UsageError as error:
            raise UsageError(f"vocabulary {path}: {error}") from None

    def with_background(self, words: Sequence[str]) -> "Vocabulary":
        """A copy whose background class is found by ``words``.

        The background class keeps its place where there is one; else it comes first, in black, and every other label
        moves up by one.

        Raises:
            UsageError: where there are no words, or a word is also the name of another class.
        """
        synonyms = (words,) if isinstance(words, str) else tuple(words)
        if self.background is not None:
            classes = list(self.classes)
            classes[self.background] = synonyms
            return replace(self, classes=tuple(classes))
        return replace(self, classes=(synonyms, *self.classes), background=0, palette=((0, 0, 0), *self.palette))


def vocabulary_names() -> tuple[str, ...]:
    """Names of the built-in vocabularies, without those of collections: words of publications, further benchmarks."""
    return _names("vocabularies")


def templates(name: str) -> tuple[str, ...]:
    """The built-in text templates of a name; ``{}`` stands for the class name.

    Args:
        name: ``"imagenet80"``, ``"plain"`` (``a photo of a {}.``) or ``"none"`` (``{}``).

    Raises:
        UsageError: where the name is unknown.
    """
    if not isinstance(name, str) or name not in _names("templates"):
        got = shortened(repr(name))
        raise UsageError(f"templates {got} are unknown; {suggestion(str(name), _names('templates'))}")
    return _templates(name)


@cache
def _templates(name: str) -> tuple[str, ...]:
    return tuple(_data(f"templates/{name}.json")["templates"])


@cache
def background_words() -> tuple[str, ...]:
    """Words for what usually surrounds objects: the built-in list of the background mode ``words``."""
    return tuple(_data("background.json")["words"])


@cache
def _names(folder: str, pattern: str = "*") -> tuple[str, ...]:
    """Names of the files of a folder, or of those in folders below it."""
    found = (path.relative_to(DATA / folder) for path in (DATA / folder).glob(f"{pattern}.json"))
    return tuple(sorted(path.with_suffix("").as_posix() for path in found))


@cache
def _built_in(name: str) -> Vocabulary:
    return _from_json(_data(f"vocabularies/{name}.json"), name)


def _data(file: str) -> Any:
    return json.loads((DATA / file).read_text(encoding="utf-8"))


def _entries(text: str) -> list[str]:
    """The classes of a text, escapes included.

    Raises:
        UsageError: where separators of several kinds leave open which of them stand between classes.
    """
    used = {kind: pieces for kind in SEPARATORS if len(pieces := split_unescaped(text, kind)) > 1}
    if LINES in used:
        lines = [line for line in (line.strip().strip(COMMAS) for line in used.pop(LINES)) if line.strip()]
        if all(len(split_unescaped(line, COMMAS + SEMICOLONS)) == 1 for line in lines):
            return lines
        used[LINES] = lines
    if len(used) > 1:
        raise UsageError(
            "classes are separated in several ways (commas, semicolons, lines); use commas alone: 'cat, dog'"
        )
    return next(iter(used.values()), [text])


def _check_joined(entry: str) -> None:
    """Refuse an entry that is perhaps two classes.

    Raises:
        UsageError: where it has a slash, or "and" between other words than two colours.
    """
    for word in split_unescaped(entry, "|"):
        joint = _JOINT.search(word)
        first, second = (word[: joint.start()], word[joint.end() :]) if joint is not None else (word, "")
        if joint is None or not first.strip() or not second.strip() or _COLOURS.search(word) is not None:
            continue
        raise UsageError(
            f"{word.strip()!r} may be one class or several; write '{first.strip()}, {second.strip()}' for several, or "
            f"'{first.lstrip()}\\{joint[0]}{second.rstrip()}' for one"
        )


def _from_lines(text: str, name: str) -> Vocabulary:
    lines = [line.strip() for line in (re.sub(r"(^|\s)#.*", "", line) for line in text.splitlines()) if line.strip()]
    for line in lines:
        if "\t" in line or len(split_unescaped(line, SEMICOLONS)) > 1:
            raise UsageError(f"a file has one class a line, and commas between its synonyms; got {line!r}")
    return Vocabulary.from_classes([[literal(w) for w in split_unescaped(line, f"{COMMAS}|")] for line in lines], name)


def _from_json(data: Any, name: str) -> Vocabulary:
    if isinstance(data, list):
        data = {"classes": data}
    classes = data.get("classes") if isinstance(data, dict) else None
    if not isinstance(classes, list) or not all(_is_class(entry) for entry in classes):
        raise UsageError('expected a list of classes, or an object with "classes": ["cat", ["sofa", "couch"]]')
    grouped = tuple((entry,) if isinstance(entry, str) else tuple(entry) for entry in classes)
    background = data.get("background", _literal_background(grouped))
    if not isinstance(background, int | None) or isinstance(background, bool):
        raise UsageError(f"background must be the index of a class or null; got {background!r}")
    colours = data.get("palette", [])
    if not isinstance(colours, list) or not all(_is_colour(colour) for colour in colours):
        raise UsageError("palette must be a list of [red, green, blue]")
    shown = str(data.get("name", name))
    return Vocabulary(shown, grouped, background, tuple(map(tuple, colours)), str(data.get("source", "")))


def _is_class(entry: Any) -> bool:
    return isinstance(entry, str) or (isinstance(entry, list) and all(isinstance(word, str) for word in entry))


def _is_colour(entry: Any) -> bool:
    return isinstance(entry, list) and len(entry) == 3 and all(isinstance(channel, int) for channel in entry)


def _literal_background(classes: Sequence[Sequence[str]]) -> int | None:
    names = [normalised(synonyms[0]) if synonyms else "" for synonyms in classes]
    return names.index("background") if "background" in names else None


def _check_classes(classes: tuple[tuple[str, ...], ...]) -> None:
    if not classes:
        raise UsageError('no classes; give at least one, as in "cat, sofa|couch"')
    if len(classes) > MOST_CLASSES:
        raise UsageError(f"at most {MOST_CLASSES} classes fit a 16-bit label map; got {len(classes)}")
    seen: dict[str, int] = {}
    for label, synonyms in enumerate(classes):
        if not synonyms or not all(synonyms):
            after = f" (after {classes[label - 1][0]!r})" if label else ""
            what = "a synonym of " if any(synonyms) else ""
            raise UsageError(f"{what}class {label + 1}{after} is empty; remove it or give it a name")
        for word in synonyms:
            other = seen.get(normalised(word))
            if other is not None:
                where = f"class {label + 1} twice" if other == label else f"classes {other + 1} and {label + 1}"
                raise UsageError(f"{word!r} stands in {where}; a name or synonym may stand once")
            seen[normalised(word)] = label


def _not_found(source: str, path: Path) -> str:
    if path.is_dir():
        return f"vocabulary {path} is a folder; give a .txt or .json file"
    if path.suffix or len(path.parts) > 1:
        return f"vocabulary file {path} does not exist; built in are {', '.join(vocabulary_names())}"
    return f"vocabulary {source!r} is unknown; {suggestion(source, vocabulary_names())}, or the path of a file"


def normalised(word: str) -> str:
    """A name without case and superfluous white space, the same for two spellings of it."""
    return " ".join(word.split()).casefold()


def split_unescaped(text: str, separators: str) -> list[str]:
    """Cut at each separator that has no backslash before it; the escapes stay in the pieces."""
    pieces = [""]
    for token in re.findall(rf"{_ESCAPE}|.", text, re.DOTALL):
        if token in separators:
            pieces.append("")
        else:
            pieces[-1] += token
    return pieces


def literal(text: str) -> str:
    """The text with each escaped separator, hash, joining word or backslash as itself."""
    return re.sub(_ESCAPE, lambda match: match[0][1:], text)
