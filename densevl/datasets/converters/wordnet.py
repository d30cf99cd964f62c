"""WordNet 3.0 as the data of a lexicon: what the classes of a classifier are called, and all that is above them.

The folder is that of Princeton's distribution (``data.noun``, ``index.noun``, ``noun.exc``; formats in its manual page
``wndb(5)``). What is kept of it, for classes that are given as offsets of synsets:

- ``synsets``: those of the classes and of everything above them, each with its names, its hypernyms, its meaning, the
  subject that the lexicographers filed it under, and how many kinds of it WordNet has.
- ``senses``: the synsets of each name in WordNet's order, which is that of their frequency in tagged texts. What else
  the name means more often stands before them as a text, where one can see it and it is of another subject.
- ``kin``: nouns that cover no class, each with the nearest synset above it that does; common ones with -1 for none.
- ``plurals``: irregular ones.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from densevl.core.errors import UsageError

__all__ = ["Synset", "lexicon_data", "read_synsets"]

SUBJECTS = "Tops act animal artifact attribute body cognition communication event feeling food group location motive"
SUBJECTS += " object person phenomenon plant possession process quantity relation shape state substance time"
SEEN = frozenset({"Tops", "animal", "artifact", "body", "food", "object", "person", "plant", "substance"})
"""Subjects of things that one can see."""


@dataclass(frozen=True)
class Synset:
    """Words of one meaning.

    Attributes:
        names: in WordNet's order, with spaces.
        above: offsets of its hypernyms.
        meaning: its definition, without the examples.
        subject: such as "animal" or "artifact".
        instance: whether it is one certain thing, as a river or a poet is.
    """

    names: tuple[str, ...]
    above: tuple[str, ...]
    meaning: str
    subject: str
    instance: bool = False


def read_synsets(file: Path) -> dict[str, Synset]:
    """The synsets of ``data.noun`` by their offsets.

    Raises:
        UsageError: where the file is missing or of another form.
    """
    try:
        lines = file.read_text(encoding="latin-1").splitlines()
        return dict(_synset(line) for line in lines if not line.startswith(" "))
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}; give the folder of WordNet 3.0's files") from error
    except (ValueError, IndexError) as error:
        raise UsageError(f"{file} is no file of WordNet 3.0: {error}") from error


def lexicon_data(folder: str | Path, classes: Sequence[str]) -> dict[str, Any]:
    """The data of a lexicon.

    Args:
        folder: of WordNet 3.0's files.
        classes: offset of the synset of each class, such as ``"02084071"``, or with an ``n`` before it.

    Raises:
        UsageError: where a file is missing or of another form, or a class is unknown.
    """
    folder = Path(folder).expanduser()
    synsets = read_synsets(folder / "data.noun")
    offsets = [name.removeprefix("n") for name in classes]
    if unknown := [offset for offset in offsets if offset not in synsets]:
        raise UsageError(f"WordNet 3.0 has no synset {unknown[0]}; the classes are named by its offsets of nouns")
    kept = sorted({offset for one in offsets for offset in _upwards(synsets, one)})
    place = {offset: index for index, offset in enumerate(kept)}
    kinds = _kinds(synsets)
    index = dict(_index(folder / "index.noun"))
    orders = {name: order for name, (order, _) in index.items()}
    common = {name for name, (_, tagged) in index.items() if tagged and name.isalpha()}
    senses = {
        name: _meanings(synsets, place, orders[name.lower()])
        for name in sorted({name for offset in kept for name in synsets[offset].names})
    }
    kin = _kin(synsets, place, orders, senses)
    ends = {name.split()[-1].lower() for name in senses}
    exceptions = (line.split() for line in (folder / "noun.exc").read_text(encoding="ascii").splitlines())
    return {
        "classes": [place[offset] for offset in offsets],
        "synsets": [
            [list(one.names), sorted(place[a] for a in one.above), one.meaning, one.subject, kinds[offset]]
            for offset, one in ((offset, synsets[offset]) for offset in kept)
        ],
        "senses": senses,
        "kin": {**dict.fromkeys(sorted(common - {name.lower() for name in senses}), -1), **kin},
        "plurals": {plural: word for plural, word, *_ in exceptions if word in ends and plural not in ends},
    }


def _synset(line: str) -> tuple[str, Synset]:
    data, _, gloss = line.partition(" | ")
    offset, subject, _, count, *rest = data.split()
    names = tuple(name.replace("_", " ") for name in rest[: 2 * int(count, 16) : 2])
    pointers = rest[2 * int(count, 16) + 1 :]
    above = tuple(pointers[i + 1] for i in range(0, len(pointers), 4) if pointers[i] in ("@", "@i"))
    meaning = re.split(r";\s*[\"`]", gloss.strip())[0].strip(" ;")
    return offset, Synset(names, above, meaning, SUBJECTS.split()[int(subject) - 3], "@i" in pointers)


def _index(file: Path) -> Iterator[tuple[str, tuple[list[str], int]]]:
    """Each name of ``index.noun``: the offsets of its meanings, the most frequent first, and how many are tagged."""
    for line in file.read_text(encoding="ascii").splitlines():
        if not line.startswith(" "):
            name, _, _, pointers, *rest = line.split()
            yield name.replace("_", " "), (rest[int(pointers) + 2 :], int(rest[int(pointers) + 1]))


def _upwards(synsets: Mapping[str, Synset], offset: str) -> Iterator[str]:
    """A synset and all above it, the nearest first."""
    seen, level = set(), [offset]
    while level:
        yield from (one for one in level if one not in seen)
        seen.update(level)
        level = list(dict.fromkeys(above for one in level for above in synsets[one].above if above not in seen))


def _kinds(synsets: Mapping[str, Synset]) -> dict[str, int]:
    """Number of synsets of each and below it that have none below themselves."""
    parents = {above for one in synsets.values() for above in one.above}
    kinds: dict[str, int] = defaultdict(int)
    for leaf in synsets.keys() - parents:
        for offset in _upwards(synsets, leaf):
            kinds[offset] += 1
    return kinds


def _meanings(synsets: Mapping[str, Synset], place: Mapping[str, int], order: Sequence[str]) -> list[int | str]:
    """The meanings of a name: places of synsets, and before the first of them what else it means more often."""
    found: list[int | str] = []
    first = synsets[next(offset for offset in order if offset in place)]
    for offset in order:
        one = synsets[offset]
        if offset in place:
            found.append(place[offset])
        elif not any(isinstance(other, int) for other in found) and _other(one, first):
            found.append(one.meaning)
    return found


def _other(one: Synset, known: Synset) -> bool:
    """Whether a meaning can be seen and is of another subject than the known one; a fruit is that of its plant."""
    subjects = {one.subject, known.subject}
    near = len(subjects) == 1 or subjects == {"plant", "food"} or "Tops" in subjects
    return one.subject in SEEN and not one.instance and not near


def _kin(
    synsets: Mapping[str, Synset],
    place: Mapping[str, int],
    orders: Mapping[str, Sequence[str]],
    senses: Mapping[str, Sequence[int | str]],
) -> dict[str, int]:
    """Nouns that cover no class, by their first meaning that can be seen, with the nearest synset above that does.

    They are single words; and names of several whose last word covers classes that they are none of: a prairie dog
    is no dog. Left out are single words of people, and those with nothing nearer above them than an artifact.
    """
    known = {name.lower() for name in senses}
    kept = list(place)
    kin = {}
    for name, order in sorted(orders.items()):
        offset = next((one for one in order if synsets[one].subject in SEEN), None)
        if offset is None or name in known or name not in synsets[offset].names:
            continue
        above = list(_upwards(synsets, offset))
        nearest = next(one for one in above if one in place)
        *first, last = name.split(" ")
        heads = {kept[one] for one in senses.get(last, ()) if isinstance(one, int)}
        if first:
            wanted = bool(heads) and not heads & set(above)
        else:
            wanted = name.isalpha() and synsets[nearest].subject not in ("Tops", "person")
        if wanted:
            kin[name] = place[nearest]
    return kin
