"""Examples of a folder that has a folder for each class: every image shows its class as a whole."""

from collections.abc import Iterator
from pathlib import Path

from densevl.core.errors import UsageError
from densevl.core.files import expand_argument
from densevl.datasets.examples.example import Example, checked_name

__all__ = ["read_folders", "read_unnamed"]


def read_folders(path: Path) -> Iterator[Example]:
    """The examples of the folders inside a folder; underscores of their names are spaces.

    Args:
        path: the folder.

    Raises:
        UsageError: where the folder of a class has no image.
    """
    for folder in sorted(path.iterdir()):
        if not folder.is_dir() or folder.name.startswith("."):
            continue
        _, images = expand_argument(str(folder))
        if not images:
            raise UsageError(f"the folder {folder} of a class has no image; put some there, or remove it")
        name = checked_name(folder.name.replace("_", " "), str(folder))
        yield from (Example(Path(image), name, image) for image in images)


def read_unnamed(path: Path) -> tuple[Example, ...]:
    """All images in a folder and the folders inside it, of which nothing is known; their names are empty.

    Args:
        path: the folder.

    Raises:
        UsageError: where it has no image.
    """
    _, images = expand_argument(str(path))
    if not images:
        raise UsageError(f"the folder {path} has no image; put some there")
    return tuple(Example(Path(image), "", image) for image in images)
