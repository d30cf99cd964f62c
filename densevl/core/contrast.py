"""Words that stand for everything else where few things are asked for: lists of them, and which belong to a query.

A single word fits every pixel, for nothing contrasts with it. Wysoczańska et al. (Test-time Contrastive Concepts for
Open-world Semantic Segmentation, TMLR 2025, https://arxiv.org/abs/2407.05061) add words that co-occur with it in
captions; pixels that these win are background. A list (``data/contrast/*.json``, or a file of the user) has two parts:

* ``words``: neutral ones, taken for a query that the captions do not know, or where nothing was counted;
* ``counts`` and ``together``: in how many captions a word stands, and beside each other word. The words of a query are
  those that stand in at least :data:`LEAST` of its captions, the most frequent first.

A query that was never counted takes the words of its last part that was ("ring" for "purple ring"). Words that mean
the same as a query or a part of it are left out later, where its vectors are known
(:mod:`densevl.tasks.segmentation.contrast`).
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import permutations
from pathlib import Path
from typing import Any

from densevl.core.errors import UsageError, suggestion
from densevl.core.files import parse_json
from densevl.core.vocabulary import DATA, Vocabulary, normalised

__all__ = ["LEAST", "MOST", "ContrastWords", "common_words", "contrast_names", "count_words"]

LEAST = 0.01
"""Part of the captions of a query in which a word must stand."""

MOST = 100
"""Words that are taken for a query at most, so that a label map takes no longer than one of a common data set."""

PHOTOGRAPHS = ("ade20k", "cityscapes", "coco_object", "coco_stuff", "context59", "voc20")

PLURALS = {"y": "ies", "f": "ves", "fe": "ves", "man": "men"}

FOLDER = DATA / "contrast"


@dataclass(frozen=True)
class ContrastWords:
    """A list of words for the contrast.

    Attributes:
        name: of a built-in list, or the path of a file.
        source: where the words come from.
        words: neutral ones.
        counts: captions in which a word stands.
        together: of each word, the captions in which another one stands, too.
    """

    name: str
    source: str = ""
    words: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    together: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @classmethod
    def load(cls, name: str) -> "ContrastWords":
        """A built-in list by its name, or a file.

        Raises:
            UsageError: where the name is unknown or the file holds no list.
        """
        if name in contrast_names():
            return _built_in(name)
        path = Path(name).expanduser()
        if not path.is_file():
            hint = suggestion(name, contrast_names())
            raise UsageError(f"contrast words {name!r} are unknown; {hint}, or the path of a JSON file")
        try:
            content = parse_json(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise UsageError(f"contrast words {path}: {error.strerror or error}") from error
        except ValueError as error:
            raise UsageError(f"contrast words {path}: not a JSON file ({error})") from error
        return cls.of(name, content)

    @classmethod
    def of(cls, name: str, content: Any) -> "ContrastWords":
        """A list from the content of its file.

        Raises:
            UsageError: where it is none.
        """
        if isinstance(content, list):
            content = {"words": content}
        rows = content if isinstance(content, Mapping) else {}
        words, counts, together = rows.get("words", []), rows.get("counts", {}), rows.get("together", {})
        known = _counted(counts) and isinstance(together, Mapping) and all(word in counts for word in together)
        if not (known and _texts(words) and (words or together) and all(map(_counted, together.values()))):
            raise UsageError(
                f'contrast words {name}: expected {{"words": ["sky", "wall"]}}, or what `densevl contrast` writes'
            )
        normal = {normalised(word): {**row} for word, row in together.items()}
        return cls(
            name, str(rows.get("source", "")), tuple(words), {normalised(w): n for w, n in counts.items()}, normal
        )

    def words_for(self, queries: Sequence[str]) -> tuple[str, ...]:
        """Words that are compared with queries, those that stand beside them most often first.

        Args:
            queries: what is asked for; none of them is among the words.
        """
        found: Counter[str] = Counter()
        captions = 0
        for known in filter(None, map(self._known, queries)):
            found.update(self.together[known])
            captions += self.counts[known]
        frequent = [word for word, count in found.most_common(MOST) if count >= LEAST * captions]
        asked = set(map(normalised, queries))
        return tuple(word for word in frequent or self.words if normalised(word) not in asked)

    def _known(self, query: str) -> str | None:
        """The longest end of a query that was counted."""
        parts = normalised(query).split()
        ends = (" ".join(parts[start:]) for start in range(len(parts)))
        return next((end for end in ends if self.together.get(end)), None)


def contrast_names() -> tuple[str, ...]:
    """Names of the built-in lists."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.json")))


def common_words() -> tuple[str, ...]:
    """Words of common things: the neutral ones, and the classes of the built-in vocabularies of photographs."""
    listed = [name for photo in PHOTOGRAPHS for name in Vocabulary.load(photo).names]
    return tuple(
        dict.fromkeys(normalised(word) for word in (*_built_in("neutral").words, *listed) if word != "background")
    )


def count_words(captions: Iterable[str], words: Sequence[str]) -> dict[str, Any]:
    """How often words stand in captions, alone and together: ``captions``, ``counts`` and ``together`` of a list.

    The longest word wins where several begin at one place ("traffic light" is no "light"), and a regular plural counts
    for its singular. A word counts once a caption.

    Args:
        captions: texts.
        words: that are looked for; texts of one or more words.
    """
    forms = {form: word for word in reversed(words) for form in _forms(normalised(word))}
    longest = sorted(forms, key=len, reverse=True)
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest))})(?!\w)")
    number, counts, pairs = 0, Counter[str](), Counter[tuple[str, str]]()
    for number, caption in enumerate(captions, 1):  # noqa: B007
        found = sorted({forms[match] for match in pattern.findall(normalised(caption))}) if forms else []
        counts.update(found)
        pairs.update(permutations(found, 2))
    together: dict[str, dict[str, int]] = {word: {} for word, _ in counts.most_common()}
    for (word, other), count in pairs.most_common():
        together[word][other] = count
    return {"captions": number, "counts": dict(counts.most_common()), "together": together}


def _forms(word: str) -> tuple[str, ...]:
    """A word and its regular plurals."""
    changed = (word.removesuffix(end) + plural for end, plural in PLURALS.items() if word.endswith(end))
    return (word, f"{word}s", f"{word}es", *changed)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) and word.strip() for word in value)


def _counted(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(count, int) and not isinstance(count, bool) and count >= 0 for count in value.values()
    )


@cache
def _built_in(name: str) -> ContrastWords:
    return ContrastWords.of(name, parse_json((FOLDER / f"{name}.json").read_text(encoding="utf-8")))
