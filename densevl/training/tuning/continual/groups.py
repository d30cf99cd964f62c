"""Sessions: groups of classes that come together, one group after the other."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from densevl.core.errors import UsageError, shortened
from densevl.core.files import read_json
from densevl.core.vocabulary import normalised

__all__ = ["SessionsLike", "given_sessions", "sessions_of"]

SessionsLike = int | str | Path | Sequence[Sequence[str]]
"""A number, a JSON file of lists of classes, or such lists."""

WANTED = 'a number, or a JSON file of the classes of each session, such as [["cat", "dog"], ["cow"]]'


def given_sessions(sessions: SessionsLike) -> int | list[list[str]]:
    """A number of sessions, or the classes of each.

    Args:
        sessions: a number, a text of it, a JSON file, or lists of classes.

    Raises:
        UsageError: where it is nothing of these, or there is one session only.
    """
    if isinstance(sessions, str) and sessions.strip().lstrip("+-").isdecimal():
        sessions = int(sessions)
    if isinstance(sessions, int):
        _check_enough(sessions)
        return sessions
    if isinstance(sessions, str | Path):
        path = Path(sessions).expanduser()
        if not path.is_file():
            raise UsageError(f"there is no file {path} of sessions; give {WANTED}")
        return _checked(read_json(path), str(path))
    return _checked(sessions, "sessions")


def sessions_of(sessions: int | Sequence[Sequence[str]], names: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """The classes of each session, as the examples write them.

    Args:
        sessions: the classes of each, or a number by which the classes are cut in their order, earlier groups at most
            one class larger than later ones.
        names: of the classes of the examples, in the order in which they first come.

    Raises:
        UsageError: where a class is in two sessions or in none, or has no example, or there are fewer classes than
            sessions.
    """
    if isinstance(sessions, int):
        if sessions > len(names):
            raise UsageError(f"{len(names)} classes cannot be cut into {sessions} sessions; ask for fewer")
        size, larger = divmod(len(names), sessions)
        starts = [index * size + min(index, larger) for index in range(sessions + 1)]
        return tuple(tuple(names[start:end]) for start, end in pairwise(starts))
    own = {normalised(name): name for name in names}
    owners: dict[str, int] = {}
    for number, group in enumerate(sessions, 1):
        for name in group:
            earlier = owners.setdefault(normalised(name), number)
            if earlier != number:
                raise UsageError(f"the class {name!r} is in session {earlier} and in session {number}; leave one out")
    missing = [name for group in sessions for name in group if normalised(name) not in own]
    if missing:
        number = owners[normalised(missing[0])]
        empty = all(normalised(name) not in own for name in sessions[number - 1])
        whole = f"session {number} has no examples" if empty else f"session {number} has no example of {missing[0]!r}"
        raise UsageError(f"{whole}: the examples are of {shortened(', '.join(names), 80)}; give some, or leave it out")
    left = [name for name in names if normalised(name) not in owners]
    if left:
        raise UsageError(
            f"the examples are also of {shortened(', '.join(left), 80)}, in no session; add it to one, or leave "
            "its examples out"
        )
    return tuple(tuple(dict.fromkeys(own[normalised(name)] for name in group)) for group in sessions)


def _checked(value: Any, source: str) -> list[list[str]]:
    """The classes of each session.

    Raises:
        UsageError: where the value is something else.
    """
    listed = isinstance(value, Sequence) and not isinstance(value, str)
    groups = list(value) if listed else []
    if not listed or not all(isinstance(group, Sequence) and not isinstance(group, str) for group in groups):
        raise UsageError(f"{source} holds no sessions; give {WANTED}")
    for number, group in enumerate(groups, 1):
        if not group:
            raise UsageError(f"{source}: session {number} has no classes; name some, or leave it out")
        wrong = next((name for name in group if not isinstance(name, str) or not name.strip()), None)
        if wrong is not None:
            raise UsageError(f"{source}: session {number}: a class has a name; got {shortened(repr(wrong))}")
    _check_enough(len(groups))
    return [list(group) for group in groups]


def _check_enough(count: int) -> None:
    """Refuse what leaves nothing to forget.

    Raises:
        UsageError: where there are fewer than two sessions.
    """
    if count < 2:
        raise UsageError(f"there are two sessions or more, one after the other; got {count}: leave --sessions out")
