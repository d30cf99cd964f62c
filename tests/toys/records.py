"""Records of labelled images with everything that is hard on formats, and files of their images."""

import os
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

from densevl.api.jobs.formats import FORMATS
from densevl.api.jobs.formats.contracts import Format
from densevl.api.jobs.formats.record import ImageRecord, Instances
from densevl.core.files import file_state
from densevl.core.labelmap import LabelMap
from densevl.core.registry import build
from densevl.core.vocabulary import Vocabulary

WORDS = Vocabulary.from_classes(["cat, big", "background", 'say "hi" <b>', "猫 & co", "never seen"])
"""Names with commas, quotes, marks of XML and non-ASCII letters; the background in the middle."""


def labels(seed: int) -> np.ndarray:
    """A label map of blobs in a size of its own: with holes, single pixels, touching corners and unlabelled pixels."""
    height, width = 60 + 4 * seed, 90 + 7 * seed
    noise = np.random.default_rng(seed).normal(size=(4, height, width)).astype(np.float32)
    found = np.stack([cv2.GaussianBlur(one, (0, 0), 5) for one in noise]).argmax(0)
    found[10:30, 10:30], found[15:22, 14:24] = 3, 0  # a square with a hole
    found[18, 18] = 3  # a pixel in the hole
    found[0, 0], found[0, 1], found[1, 0], found[1, 1] = 0, 2, 2, 0
    found[-6:, -9:] = -1
    return found


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of four images: below folders, with spaces, two of one stem, one that shows nothing but background."""
    root = tmp_path_factory.mktemp("source") / "my photos"
    for index, name in enumerate(["a.png", "day 1/b.jpg", "day 1/b.png", "images/empty.JPG"]):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(index).integers(0, 256, (*labels(index).shape, 3), dtype=np.uint8)
        cv2.imwrite(str(root / name), pixels)
    return root


@pytest.fixture
def records(images: Path) -> list[ImageRecord]:
    """The records of the images, a mask a class."""
    found = []
    for index, name in enumerate(["a", "day 1/b.jpg", "day 1/b.png", "images/empty"]):
        file_name = {"a": "a.png", "images/empty": "images/empty.JPG"}.get(name, name)
        shown = np.full_like(labels(index), 1) if "empty" in name else labels(index)
        best = np.random.default_rng(index).random(shown.shape, dtype=np.float32)
        result = LabelMap(shown, WORDS, best=best)
        found.append(ImageRecord.of(result, name, file_name, str(images / file_name), file_state(images / file_name)))
    return found


@pytest.fixture
def parts(records: list[ImageRecord]) -> list[ImageRecord]:
    """The same with a mask for each connected part, down to single pixels."""
    return [record.with_instances(Instances("connected", 1)) for record in records]


def save(name: str, out: Path, records: list[ImageRecord], vocabulary: Vocabulary | None = None) -> Format:
    """Write the files of all images, then what is joined of them."""
    made: Format = build(FORMATS, name)
    for record in records:
        made.write(out, record)
    made.join(out, iter(records), vocabulary or records[0].vocabulary)
    return made


def reader(name: str) -> Path:
    """The Python of an environment with tools that read our files; the test is skipped where there is none."""
    folder = os.environ.get("DENSEVL_READERS")
    python = Path(folder or "", name, "bin", "python")
    if folder is None or not python.is_file():
        pytest.skip(
            f"DENSEVL_READERS names no folder with the environment {name}; the text of the test says how to make it"
        )
    return python


def masks_of(python: Path, script: str, *arguments: object, out: Path) -> dict[str, list[tuple[str, np.ndarray]]]:
    """The names of classes and masks that a script of the folder ``readers`` reads of each image.

    Args:
        python: runs the script.
        script: its name.
        arguments: of the script.
        out: the file that it writes, its last argument.
    """
    place = Path(__file__).parents[1] / "api" / "jobs" / "formats" / "readers" / script
    done = subprocess.run([python, place, *arguments, out], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, list[tuple[str, np.ndarray]]] = {}
    with np.load(out) as kept:
        for key in kept:
            file, number, name = key.split("|", 2)
            found.setdefault(file, [])
            if number:
                found[file].append((name, kept[key]))
    return found
