"""Damaged files, odd arguments and odd command lines: each must end in an error of one line, or in a right result.

    python -m toys.bad_inputs --seed 0                  all cases
    python -m toys.bad_inputs --seed 0 --only 17        one of them

A case is made of the seed and its number alone. Commands run in this process, on the mini model, which is loaded once
for equal settings.
"""

import argparse
import contextlib
import functools
import io
import json
import math
import os
import pickle
import shutil
import signal
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import densevl
from densevl.api import loading
from densevl.cli import main
from densevl.core.background import Background
from densevl.core.errors import DensevlError
from densevl.core.vocabulary import Vocabulary
from densevl.datasets.referring.detections import read_detections
from densevl.datasets.regions.annotations import read_annotations
from densevl.datasets.scenes import render
from densevl.tasks.annotation.captions import read_captions
from densevl.tasks.grounding.expression import parse_expression, parse_reclip
from densevl.weights.by_hand import MissingWeights
from densevl.weights.table import DATA

SECONDS = 30
SUFFIXES = (".png", ".jpg", ".bmp", ".gif", ".tif", ".webp", ".ppm", ".tga", ".jp2", ".avif")
ODD = (
    None,
    True,
    0,
    3,
    -1,
    10**30,
    0.5,
    math.nan,
    math.inf,
    -math.inf,
    "",
    " ",
    "x",
    "\0",
    "é\n",
    "a" * 5000,
    b"",
    b"x",
    (),
    [],
    [[]],
    {},
    {"type": 3},
    {"type": "nothing"},
    {1: 2},
    [1, "a"],
    [None],
    set(),
    object(),
    np.zeros(0),
    np.full((2, 2), np.nan),
    np.zeros((4, 4, 3), np.uint8),
    torch.zeros(0),
    torch.full((1, 4), math.nan),
    range(3),
    Path("nowhere"),
    1j,
    len,
)
CONFIG = b"""from mmengine.config import read_base
with read_base():
    from densevl.configs.scenes import *
model.update(model='mini')
"""
WORDS = (
    "",
    "x",
    "-1",
    "0",
    "1e400",
    "nan",
    "null",
    "[]",
    "{}",
    "[" * 3000,
    "é",
    "a\nb",
    "\t",
    "--",
    "a,b",
    "1,2",
    "1,2,3,4",
    "9" * 5000,
    "nowhere/x.png",
)


@dataclass
class Ground:
    """Good files to be damaged, in a folder; made once.

    Attributes:
        folder: where they are.
    """

    folder: Path
    images: dict[str, bytes] = field(default_factory=dict)
    indexes: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        scene = next(s for s in (render(3, i, size=48, split="val") for i in range(50)) if len(s.objects) > 2)
        self.boxes = [list(map(int, item.box)) for item in scene.objects]
        self.picture = self.folder / "scene.png"
        Image.fromarray(scene.image).save(self.picture)
        for suffix in SUFFIXES:
            path = self.folder / f"whole{suffix}"
            try:
                Image.fromarray(scene.image).save(path)
            except (OSError, KeyError, ValueError):  # a format that this Pillow does not write
                continue
            self.images[suffix] = path.read_bytes()
        place = str(self.folder / "boxes.json")
        Path(place).write_text(json.dumps(self.boxes))
        for form in ("safetensors", "parquet"):
            out = self.folder / f"index-{form}"
            with quiet():
                code = main(
                    [
                        "embed",
                        str(self.picture),
                        "--model",
                        "mini",
                        "--boxes",
                        place,
                        "--format",
                        form,
                        "--out",
                        str(out),
                        "--offline",
                    ]
                )
            assert code == 0, "the index to be damaged could not be made"
            self.indexes[form] = next(out.glob(f"part-*.{form}")).read_bytes()
        self.weights = (DATA / "mini" / "clip.safetensors").read_bytes()


Case = tuple[str, Callable[[Path], Any]]
"""A name, and what is done in an empty folder."""


@contextlib.contextmanager
def quiet() -> Iterator[io.StringIO]:
    """What a command says goes into a text."""
    said = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield said


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """A file cut off, with flipped, removed, doubled or foreign bytes."""
    at, way = int(rng.integers(0, max(1, len(data)))), int(rng.integers(0, 8))
    changed = bytearray(data)
    if way == 0:
        return data[:at]
    if way == 1:
        changed[at % max(1, len(data)) : at] = b""
        changed[at : at + 1] = bytes([int(rng.integers(0, 256))])
    elif way == 2:
        for place in rng.integers(0, min(200, len(data)), 4).tolist():
            changed[place] ^= 1 << int(rng.integers(0, 8))
    elif way == 3:
        del changed[at : at + int(rng.integers(1, 200))]
    elif way == 4:
        changed[at:at] = rng.bytes(int(rng.integers(1, 200)))
    elif way == 5:
        return rng.bytes(int(rng.integers(0, 400)))
    elif way == 6:
        return data[: int(rng.integers(0, 64))]
    else:
        changed[: int(rng.integers(1, 16))] = b"\xff\xfe\x00<"
    return bytes(changed)


def spoiled(value: Any, rng: np.random.Generator) -> Any:
    """A JSON value with one of its parts in the place of which something else stands."""
    if isinstance(value, dict) and value and rng.random() < 0.8:
        key = list(value)[int(rng.integers(len(value)))]
        if rng.random() < 0.25:
            return {name: inner for name, inner in value.items() if name != key}
        return {**value, key: spoiled(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.8:
        at = int(rng.integers(len(value)))
        return [*value[:at], spoiled(value[at], rng), *value[at + 1 :]]
    odd = (
        None,
        True,
        -1,
        10**30,
        1e308,
        math.nan,
        math.inf,
        "",
        "x",
        "é" * 300,
        [],
        {},
        [[]],
        [None],
        {"a": 1},
        0,
        [1, 2, 3],
        "../..",
    )
    return odd[int(rng.integers(len(odd)))]


def bad_json(value: Any, rng: np.random.Generator) -> bytes:
    """The text of a JSON value that is damaged, or whose content is."""
    way = int(rng.integers(0, 6))
    if way == 0:
        return damaged(json.dumps(value).encode(), rng)
    if way == 1:
        return (b"[" if rng.random() < 0.5 else b'{"a":') * int(rng.integers(900, 5000))
    return json.dumps(spoiled(value, rng)).encode()


def files(ground: Ground, rng: np.random.Generator) -> Iterator[Case]:
    """Damaged files of every kind that commands and functions read."""
    picture, place = str(ground.picture), str(ground.folder / "boxes.json")
    commands = (
        lambda path: ["segment", path, "grass, sand"],
        lambda path: ["refer", path, "the left shape", "--boxes", place],
        lambda path: ["embed", path, "--regions", "grid"],
        lambda path: ["compare", path, "grass, sand"],
    )
    for suffix, data in ground.images.items():
        for number in range(26):
            bad, command = damaged(data, rng), commands[number % 2] if number % 8 else commands[2 + number // 8 % 2]
            yield f"image{suffix}", written(f"bad{suffix}", bad, command)
    for suffix, data in ground.images.items():
        yield f"read{suffix}", called_on_file(f"bad{suffix}", damaged(data, rng), densevl.read_image)
    vocabulary = {
        "classes": ["grass", ["sand", "beach"]],
        "background": None,
        "palette": [[1, 2, 3], [4, 5, 6]],
        "name": "a",
    }
    for number in range(120):
        if number % 3:
            name, bad = "classes.json", bad_json(vocabulary if number % 2 else vocabulary["classes"], rng)
        else:
            name, bad = (
                "classes.txt",
                damaged(b"# mine\ngrass\nsand, beach\nbrick|stone\n" * int(rng.integers(1, 3)), rng),
            )
        command = lambda path: ["segment", picture, "--classes", path]  # noqa: E731
        yield name, written(name, bad, command) if number % 4 == 0 else called_on_file(name, bad, Vocabulary.load)
    detections = [{"image_id": "scene.png", "bbox": [1, 2, 9, 9], "score": 0.5}]
    data_set = {
        "images": [{"id": 1, "file_name": "scene.png", "height": 48, "width": 48}],
        "annotations": [
            {
                "id": 1,
                "image_id": 1,
                "category_id": 1,
                "bbox": [1, 2, 9, 9],
                "area": 81,
                "iscrowd": 0,
                "segmentation": [[1, 2, 9, 2, 9, 9]],
            }
        ],
        "categories": [{"id": 1, "name": "star"}],
    }
    layouts: list[Any] = [
        ground.boxes,
        {"boxes": ground.boxes, "form": "xyxy", "scores": [0.5] * len(ground.boxes)},
        detections,
        data_set,
    ]
    for number in range(120):
        bad = bad_json(layouts[number % 4], rng)
        command = lambda path: ["refer", picture, "the left shape", "--boxes", path]  # noqa: E731
        yield "boxes.json", written("boxes.json", bad, command)
    for number in range(80):
        bad = bad_json(data_set, rng)
        if number % 2:
            yield (
                "coco.json",
                called_on_file("coco.json", bad, read_annotations),
            )
        else:
            yield "detections.json", called_on_file("detections.json", bad_json(detections, rng), read_detections)
    captions = {"scene.png": ["a red star on grass"]}
    for number in range(30):
        name = ("captions.json", "captions.jsonl", "captions.csv")[number % 3]
        good = (
            json.dumps(captions),
            '{"image": "scene.png", "caption": "a star"}\n',
            "image,caption\nscene.png,a star\n",
        )[number % 3]
        yield name, called_on_file(name, damaged(good.encode(), rng), read_captions)
    for form, data in ground.indexes.items():
        for _ in range(70):
            command = lambda path: ["search", path, "a red shape"]  # noqa: E731
            yield f"index.{form}", written(f"part-00000.{form}", damaged(data, rng), command)
    for number in range(50):
        name = ("bad.safetensors", "bad.pt", "bad.bin")[number % 3]
        bad = bad_weights(ground, number, rng)
        command = lambda path: ["segment", picture, "grass, sand", "--weights", path]  # noqa: E731
        yield name, written(name, bad, command)
    config = CONFIG
    for _ in range(40):
        yield "config.py", written("config.py", damaged_text(config, rng), lambda path: ["test", path])
    for number in range(20):
        yield "record", recorded(picture, bad_json({"settings": "x", "source": ["a", 1, 2], "areas": {}}, rng), number)


def damaged_text(text: bytes, rng: np.random.Generator) -> bytes:
    """Lines of a config in another order, cut, or with other signs; nothing of it does harm when it is run."""
    lines = text.split(b"\n")
    way = int(rng.integers(0, 4))
    if way == 0:
        return b"\n".join(lines[: int(rng.integers(0, len(lines)))]) + b"\n    x ="
    if way == 1:
        return b"\n".join(lines[i] for i in rng.permutation(len(lines)))
    if way == 2:
        return (
            text
            + (b"model = 3\n", b"test_dataloader = None\n", b"model['type'] = 'x'\n", b"1 / 0\n", b"\xff\n")[
                int(rng.integers(0, 5))
            ]
        )
    return text.replace(b"scenes", rng.choice([b"nothing", b"ade", b"_base_", b"3"]))


class Trap:
    """What executes when it is unpickled: it leaves a file."""

    def __reduce__(self) -> Any:
        return (open, ("executed", "w"))


def bad_weights(ground: Ground, number: int, rng: np.random.Generator) -> bytes:
    """Weights that are damaged, of something else, or that would execute when they are unpickled."""
    if number % 5 == 0:
        return pickle.dumps(Trap())
    if number % 5 == 1:
        out = io.BytesIO()
        torch.save({"state_dict": {"a": torch.zeros(2)}, "x": Trap()} if number % 2 else [1, 2], out)
        return damaged(out.getvalue(), rng) if number % 3 == 0 else out.getvalue()
    return damaged(ground.weights[: 200_000 if number % 2 else None], rng)


def odd_calls(ground: Ground, rng: np.random.Generator) -> Iterator[Case]:
    """Public functions with arguments of every other kind."""
    model, array = load_once("mini", device="cpu"), densevl.read_image(ground.picture)
    settings = (
        "regions",
        "readout",
        "refiners",
        "stages",
        "short_side",
        "temperature",
        "window",
        "encoder",
        "mask_maker",
        "parser",
        "embedders",
        "calibration",
        "negatives",
        "template",
        "templates",
        "weights",
        "device",
        "dtype",
        "refiners.0",
        "refiners.0.gamma",
        "grounder",
        "segmentor",
        "encoder.weights",
        "classifier",
        "embedder",
    )
    functions: dict[str, Callable[[Any], Any]] = {
        "load": lambda odd: densevl.load(odd, device="cpu", offline=True),
        "Vocabulary.of": Vocabulary.of,
        "Vocabulary.load": Vocabulary.load,
        "Vocabulary.from_classes": Vocabulary.from_classes,
        "Vocabulary.parse": Vocabulary.parse,
        "Background.parse": Background.parse,
        "read_image": densevl.read_image,
        "parse_expression": parse_expression,
        "parse_reclip": parse_reclip,
        "segment": lambda odd: model.segment(odd, "grass, sand"),
        "segment, classes": lambda odd: model.segment(array, odd),
        "segment, background": lambda odd: model.segment(array, "grass, sand", background=odd),
        "refer": lambda odd: model.refer(odd, "the left shape", ground.boxes),
        "refer, expression": lambda odd: model.refer(array, odd, ground.boxes),
        "refer, proposals": lambda odd: model.refer(array, "the left shape", odd),
        "embed, regions": lambda odd: model.embed(array, odd),
        "embed_texts": model.embed_texts,
        "Regions.from_boxes": lambda odd: densevl.Regions.from_boxes(odd, (48, 48)),
        "Regions.from_masks": densevl.Regions.from_masks,
        "RegionIndex.open": densevl.RegionIndex.open,
    }
    for name, function in functions.items():
        for at in rng.permutation(len(ODD))[:14].tolist():
            yield f"{name}({shown(ODD[at])})", called(function, ODD[at])
    for name in settings:
        for at in rng.permutation(len(ODD))[:6].tolist():
            if type(ODD[at]) is object:  # a built member of somebody's own is taken at its word
                continue
            yield f"load({name}={shown(ODD[at])})", set_to(name, ODD[at])


def shown(value: Any) -> str:
    """A value for the name of a case."""
    return repr(value)[:40].replace("\n", " ")


def odd_lines(ground: Ground, rng: np.random.Generator) -> Iterator[Case]:
    """Command lines with odd words at odd places."""
    picture, place, index = (
        str(ground.picture),
        str(ground.folder / "boxes.json"),
        str(ground.folder / "index-safetensors"),
    )
    lines = [
        [
            "segment",
            picture,
            "grass, sand",
            "--short-side",
            "48",
            "--background",
            "words:sky",
            "--batch",
            "1",
            "--set",
            "window=null",
        ],
        [
            "refer",
            picture,
            "the left shape",
            "--boxes",
            place,
            "--top",
            "2",
            "--parser",
            "rules",
            "--set",
            "template={}",
        ],
        [
            "embed",
            picture,
            "--regions",
            "grid",
            "--batch",
            "2",
            "--format",
            "safetensors",
            "--embedder",
            "mask-pooling",
        ],
        ["search", index, "a red shape", "--top", "3", "--per-image", "1", "--overlap", "0.5"],
        ["search", index, "--like", picture, "--box", "1,2,20,20"],
        ["compare", picture, "grass, sand", "--point", "3,3"],
        ["label-regions", picture, "--most-phrases", "3", "--batch", "1", "--phrases", "rule"],
        ["test", "scenes", "--model", "mini"],
        ["models"],
        ["env"],
    ]
    for number in range(200):
        line = list(lines[number % 7 if number % 10 else 7 + number // 10 % 3])
        at, word = int(rng.integers(0 if number % 11 == 0 else 1, len(line) + 1)), WORDS[int(rng.integers(len(WORDS)))]
        if rng.random() < 0.6 and at < len(line):
            line[at] = word
        elif rng.random() < 0.5:
            line.insert(at, word)
        elif len(line) > 1:
            del line[min(at, len(line) - 1)]
        yield f"line {[text[:20] for text in line]}", commanded(line)


def cases(ground: Ground, seed: int) -> list[Case]:
    """All cases of a seed, in their order."""
    rng = np.random.default_rng(seed)
    return [*files(ground, rng), *odd_calls(ground, rng), *odd_lines(ground, rng)]


def written(name: str, data: bytes, line: Callable[[str], list[str]]) -> Callable[[Path], Any]:
    """A command on a file of these bytes."""

    def run(folder: Path) -> None:
        (folder / name).write_bytes(data)
        commanded(line(str(folder / name)))(folder)

    return run


def called_on_file(name: str, data: bytes, function: Callable[[Any], Any]) -> Callable[[Path], Any]:
    """A function on a file of these bytes."""

    def run(folder: Path) -> None:
        (folder / name).write_bytes(data)
        called(function, folder / name)(folder)

    return run


def called(function: Callable[[Any], Any], argument: Any) -> Callable[[Path], Any]:
    """A function of one argument; an error of one line is as good as a result."""

    def run(folder: Path) -> None:
        said = "a result"
        try:
            function(argument)
        except MissingWeights:
            return  # which lists all files, a line each
        except DensevlError as error:
            said = str(error)
        assert said.strip(), "an error that says nothing"
        assert "\n" not in said, f"an error of several lines: {said}"

    return run


def set_to(name: str, value: Any) -> Callable[[Path], Any]:
    """A model that is loaded with a setting, and used."""

    def use(value: Any) -> None:
        model = densevl.load("mini", **{"device": "cpu", "offline": True, name: value})
        model.segment(np.zeros((40, 40, 3), np.uint8), "grass, sand")
        model.refer(np.zeros((40, 40, 3), np.uint8), "the left shape", [[1, 1, 20, 20], [20, 3, 39, 30]])

    return called(use, value)


def commanded(line: list[str]) -> Callable[[Path], Any]:
    """A command, on the mini model where none is named."""

    def run(folder: Path) -> None:
        more = (
            []
            if "--model" in line or line[0] in ("test", "models", "env", "label-regions", "search")
            else ["--model", "mini"]
        )
        rest = [] if line[0] in ("test", "models", "env") else ["--offline", "--out", str(folder / "out")]
        with quiet() as said:
            try:
                code = main([*line, *more, *rest])
            except SystemExit as error:
                code = error.code
        assert code in (0, 1, 2), f"exit code {code!r}"
        assert "Traceback" not in said.getvalue(), said.getvalue()
        lines = said.getvalue().splitlines()
        assert code == 0 or lines, "failed without a word"
        assert sum("error:" in text for text in lines) <= 1 + (code == 1), f"more than one line: {lines}"
        for path in (folder / "out").rglob("*") if (folder / "out").exists() else ():
            assert not path.name.startswith(".") or path.name in (".lock", ".done.jsonl"), f"left behind: {path.name}"
            if path.suffix == ".png":
                Image.open(path).load()
            if path.suffix == ".json":
                json.loads(path.read_text())

    return run


KEPT = (".record.json", "annotations.json", "job.json")
"""What a run keeps in its folder, by the end of the name."""


def recorded(picture: str, damaged: bytes, number: int) -> Callable[[Path], Any]:
    """A run that goes on over a damaged file of an earlier one: it is made anew, or the folder is refused as it is."""

    def run(folder: Path) -> None:
        line, kept = ["segment", picture, "grass, sand"], KEPT[number % len(KEPT)]
        commanded(line)(folder)
        (path,) = (path for path in (folder / "out").iterdir() if path.name.endswith(kept))
        path.write_bytes(damaged)
        if kept == "job.json":
            with quiet() as said:
                code = main([*line, "--model", "mini", "--offline", "--out", str(folder / "out")])
            assert code == 2, said.getvalue()
            assert path.read_bytes() == damaged, "what was refused was written over"
            path.unlink()
        commanded(line)(folder)

    return run


@functools.cache
def _loaded(key: str) -> Any:
    name, settings = LOADING[key]
    return REAL_LOAD(name, **settings)


LOADING: dict[str, Any] = {}
REAL_LOAD = loading.load


def load_once(name: Any = None, **settings: Any) -> Any:
    """:func:`densevl.load`, which gives the same model for equal settings."""
    key = repr((name, sorted(settings.items(), key=repr)))
    LOADING[key] = name, settings
    return _loaded(key) if settings.get("weights") is None else REAL_LOAD(name, **settings)


def fault(run: Callable[[Path], Any]) -> str | None:
    """What is wrong with the end of a case; None where nothing is."""

    def late(*_: Any) -> None:
        raise KeyboardInterrupt(f"took more than {SECONDS} s")  # which nobody takes for an error of a file

    signal.signal(signal.SIGALRM, late)
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        signal.alarm(SECONDS)
        try:
            with quiet():
                run(Path(name))
            if Path("executed").exists():
                return "a pickle was executed"
        except BaseException as error:  # each kind is a finding
            where = traceback.extract_tb(error.__traceback__)[-1]
            ours = [frame for frame in traceback.extract_tb(error.__traceback__) if "/densevl/" in frame.filename]
            places = ", ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in [*ours[-1:], where])
            return f"{type(error).__name__}: {str(error)[:300]} ({places})"
        finally:
            signal.alarm(0)
            os.chdir(before)
    return None


def run_cases(seed: int, chosen: Callable[[int], bool]) -> tuple[int, list[str]]:
    """How many cases were run, and a line for each that ended badly."""
    loading.load = load_once
    folder = Path(tempfile.mkdtemp())
    try:
        every = cases(Ground(folder), seed)
        picked = [(number, *case) for number, case in enumerate(every) if chosen(number)]
        found = [(number, name, fault(run)) for number, name, run in picked]
        return len(picked), [f"seed {seed}, case {n}: {name}: {wrong}" for n, name, wrong in found if wrong]
    finally:
        shutil.rmtree(folder)
        loading.load = REAL_LOAD


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Run bad inputs.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="number of a case")
    parser.add_argument("--step", type=int, default=1, help="every so many cases")
    options = parser.parse_args()
    wanted = (lambda n: n == options.only) if options.only is not None else (lambda n: n % options.step == 0)
    count, faults = run_cases(options.seed, wanted)
    print(f"{count} bad inputs of seed {options.seed}, {len(faults)} ended badly", *faults, sep="\n")
    sys.exit(bool(faults))
