"""Class lists: what users may write, what is refused, and the built-in lists against those who defined them."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from densevl.core.errors import UsageError
from densevl.core.palette import palette
from densevl.core.vocabulary import Vocabulary, background_words, normalised, templates, vocabulary_names

BENCHMARKS = {
    "ade20k": (150, None),
    "cityscapes": (19, None),
    "coco_stuff": (171, None),
    "coco_object": (81, 0),
    "voc21": (21, 0),
    "voc20": (20, None),
    "context60": (60, 0),
    "context59": (59, None),
}


def test_the_inline_syntax() -> None:
    vocabulary = Vocabulary.parse(" cat,  sofa | couch ,traffic   light")
    assert vocabulary.classes == (("cat",), ("sofa", "couch"), ("traffic light",))
    assert vocabulary.names == ("cat", "sofa", "traffic light")
    assert vocabulary.queries == ("cat", "sofa", "couch", "traffic light")
    assert vocabulary.query_classes == (0, 1, 1, 2)
    assert len(vocabulary) == 3
    assert vocabulary.background is None
    assert vocabulary.palette == palette(3)


def test_a_backslash_takes_the_next_character_as_it_stands() -> None:
    assert Vocabulary.parse(r"rock\, paper|C\|O, a\\b, C:\dir, #1").classes == (
        ("rock, paper", "C|O"),
        ("a\\b",),
        ("C:\\dir",),
        ("#1",),
    )


word = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=8)
classes = st.lists(st.lists(word, min_size=1, max_size=3), min_size=1, max_size=6)


def _unique(synonyms: list[list[str]]) -> bool:
    flat = [normalised(w) for group in synonyms for w in group]
    return len(set(flat)) == len(flat)


@given(classes.filter(_unique))
def test_whatever_is_escaped_comes_back(synonyms: list[list[str]]) -> None:
    def escape(text: str) -> str:
        return "".join("\\" + c if c in ",，、;；|#\\/&+" else c for c in text)

    written = ", ".join("|".join(map(escape, group)) for group in synonyms)
    assert Vocabulary.parse(written).classes == Vocabulary.from_classes(synonyms).classes


@pytest.mark.parametrize(
    "text",
    [
        "grass;brick",
        "grass；brick",
        "grass，brick",
        "grass、brick",
        "grass\nbrick\n",
        "grass\tbrick",
        "grass,\nbrick",
        "grass\r\nbrick",
    ],
)
def test_what_is_surely_a_separator_separates(text: str) -> None:
    assert Vocabulary.parse(text).names == ("grass", "brick")


@pytest.mark.parametrize(
    ("text", "one"),
    [
        ("grass/brick", r"grass\/brick"),
        ("grass and brick", r"grass \and brick"),
        ("grass & brick", r"grass \& brick"),
        ("cat, grass or brick", r"grass \or brick"),
        ("cat, dog and bird", r"dog \and bird"),
        ("cat|tom + dog", r"tom \+ dog"),
    ],
)
def test_what_may_be_one_class_or_several_is_refused_with_both_ways_to_write_it(text: str, one: str) -> None:
    with pytest.raises(UsageError, match=re.escape(f"or '{one}' for one")):
        Vocabulary.parse(text)
    assert Vocabulary.parse(one).names == (one.replace("\\", ""),)


def test_separators_of_several_kinds_are_refused() -> None:
    for text in ("cat; dog, bird", "cat, kitten\ndog"):
        with pytest.raises(UsageError, match="commas alone"):
            Vocabulary.parse(text)
    assert Vocabulary.parse(r"cat\;dog, bird").names == ("cat;dog", "bird")
    assert Vocabulary.parse("black and white cat, dog").names == ("black and white cat", "dog")


def test_a_file_has_one_class_a_line(tmp_path: Path) -> None:
    for number, text in enumerate(("cat; dog\n", "0\tcat\n1\tdog\n")):
        path = tmp_path / f"{number}.txt"
        path.write_text(text)
        with pytest.raises(UsageError, match="one class a line"):
            Vocabulary.load(path)


def test_a_text_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text("\ufeff# my classes\r\n\r\ncat # the pet\n  sofa, couch|settee\nC#\n\\#1\n", encoding="utf-8")
    vocabulary = Vocabulary.load(path)
    assert vocabulary.classes == (("cat",), ("sofa", "couch", "settee"), ("C#",), ("#1",))
    assert vocabulary.name == "mine"


def test_a_json_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(["cat", ["sofa", "couch"], "background"]))
    assert Vocabulary.load(str(path)).classes == (("cat",), ("sofa", "couch"), ("background",))
    assert Vocabulary.load(path).background == 2
    path.write_text(
        json.dumps(
            {"name": "n", "source": "s", "background": 1, "classes": ["a, b", ["c"]], "palette": [[1, 2, 3], [4, 5, 6]]}
        )
    )
    assert Vocabulary.load(path) == Vocabulary("n", (("a, b",), ("c",)), 1, ((1, 2, 3), (4, 5, 6)), "s")


def test_long_and_foreign_names_are_names() -> None:
    long = "a " * 149 + "ab"
    vocabulary = Vocabulary.of([long, ["кошка", "猫", "γάτα", "قطة"]])
    assert vocabulary.queries == (long, "кошка", "猫", "γάτα", "قطة")
    assert len(Vocabulary.from_classes([f"class {i}" for i in range(1000)])) == 1000


def test_of_takes_what_the_interface_takes() -> None:
    vocabulary = Vocabulary.parse("cat, sofa|couch")
    assert Vocabulary.of(vocabulary) is vocabulary
    assert Vocabulary.of("cat, sofa|couch") == Vocabulary.of(["cat", ["sofa", "couch"]]) == vocabulary
    assert hash(Vocabulary.of(("cat", ("sofa", "couch")))) == hash(vocabulary)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no classes"),
        ("  \n", "no classes"),
        ("cat,,dog", r"class 2 \(after 'cat'\) is empty"),
        ("cat, dog,", r"class 3 \(after 'dog'\) is empty"),
        ("cat, sofa|", r"a synonym of class 2 \(after 'cat'\) is empty"),
        ("cat, dog, Cat", "'Cat' stands in classes 1 and 3"),
        ("traffic light, car, lamp|Traffic  Light", "'Traffic Light' stands in classes 1 and 3"),
        ("cat, sofa|couch|SOFA", "'SOFA' stands in class 2 twice"),
        ("straße, STRASSE", "stands in classes 1 and 2"),
    ],
)
def test_unusable_class_lists(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Vocabulary.parse(text)


def test_unusable_lists_of_other_kinds() -> None:
    with pytest.raises(UsageError, match="no classes"):
        Vocabulary.from_classes([])
    with pytest.raises(UsageError, match="class 1 is empty"):
        Vocabulary.from_classes([[], ["cat"]])
    with pytest.raises(UsageError, match="at most 65534 classes"):
        Vocabulary.from_classes([f"c{i}" for i in range(65535)])
    with pytest.raises(UsageError, match="background must be a class from 0 to 0"):
        Vocabulary("v", (("cat",),), background=1)
    with pytest.raises(UsageError, match="a colour for each of the 2 classes; got 1"):
        Vocabulary("v", (("cat",), ("dog",)), palette=((1, 2, 3),))
    with pytest.raises(UsageError, match="three numbers from 0 to 255"):
        Vocabulary("v", (("cat",),), palette=((1, 2, 300),))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"", "no classes"),
        ("a.txt", b"# nothing\n\n", "no classes"),
        ("a.txt", b"cat\nsofa,,couch\n", "a synonym of class 2"),
        ("a.txt", b"cat\ndog\nCAT\n", "'CAT' stands in classes 1 and 3"),
        ("a.txt", "katze".encode("utf-16"), "not UTF-8 text .*save it as UTF-8"),
        ("a.txt", b"caf\xe9\n", r"not UTF-8 text \(byte 3\)"),
        ("a.json", b'["cat",\n "dog"', "not JSON: line 2"),
        ("a.json", b"3", "expected a list of classes"),
        ("a.json", b'{"names": ["cat"]}', "expected a list of classes"),
        ("a.json", b'["cat", 3]', "expected a list of classes"),
        ("a.json", b'["cat", ["dog", 3]]', "expected a list of classes"),
        ("a.json", b'{"classes": ["cat"], "background": "cat"}', "background must be the index of a class or null"),
        ("a.json", b'{"classes": ["cat"], "background": 4}', "background must be a class from 0 to 0"),
        ("a.json", b'{"classes": ["cat"], "palette": ["red"]}', r"palette must be a list of \[red, green, blue\]"),
    ],
)
def test_unusable_files(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UsageError, match=message) as caught:
        Vocabulary.load(path)
    assert str(path) in str(caught.value)


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        Vocabulary.load(tmp_path / "missing.txt")
    with pytest.raises(UsageError, match="is a folder"):
        Vocabulary.load(tmp_path)
    with pytest.raises(UsageError, match=r"'ade2k' is unknown; did you mean ade20k or ade847\?"):
        Vocabulary.load("ade2k")
    with pytest.raises(UsageError, match=r"'zzz' is unknown; there are .*voc21.*or the path of a file"):
        Vocabulary.load("zzz")
    with pytest.raises(UsageError, match=r"'imagenet' are unknown; did you mean imagenet80\?"):
        templates("imagenet")


def test_a_background_class_comes_first_where_there_was_none() -> None:
    vocabulary = Vocabulary.parse("cat, dog")
    extended = vocabulary.with_background(["background", "sky"])
    assert extended.classes == (("background", "sky"), ("cat",), ("dog",))
    assert extended.background == 0
    assert extended.palette == ((0, 0, 0), *vocabulary.palette)
    assert vocabulary.classes == (("cat",), ("dog",))


def test_a_background_class_keeps_its_place() -> None:
    vocabulary = Vocabulary.parse("cat, Background, dog")
    assert vocabulary.background == 1
    replaced = vocabulary.with_background(("sky", "wall"))
    assert replaced.classes == (("cat",), ("sky", "wall"), ("dog",))
    assert (replaced.background, replaced.palette) == (1, vocabulary.palette)


def test_a_background_that_cannot_be() -> None:
    with pytest.raises(UsageError, match="'sky' stands in classes 1 and 2"):
        Vocabulary.parse("sky, cat").with_background(["sky", "wall"])
    with pytest.raises(UsageError, match="class 1 is empty"):
        Vocabulary.parse("cat").with_background([])


def test_the_background_words() -> None:
    words = background_words()
    assert {"sky", "wall", "floor"} < set(words)
    assert len(Vocabulary.load("voc20").with_background(words).queries) == 20 + len(words)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_benchmark_vocabularies(name: str) -> None:
    vocabulary = Vocabulary.load(name)
    count, background = BENCHMARKS[name]
    assert (vocabulary.name, len(vocabulary), vocabulary.background) == (name, count, background)
    assert vocabulary.queries == vocabulary.names, "the published protocols use no synonyms"
    assert len(vocabulary.source) > 40
    if background is not None:
        assert vocabulary.names[background] == "background"


def test_all_built_in_vocabularies_load() -> None:
    assert set(BENCHMARKS) <= set(vocabulary_names())
    for name in vocabulary_names():
        assert Vocabulary.load(name).name == name


RENAMED = {"diningtable": "dining table", "pottedplant": "potted plant"}


@pytest.mark.parametrize(
    ("name", "dataset", "start"),
    [
        ("ade20k", "ADE20KDataset", 0),
        ("cityscapes", "CityscapesDataset", 0),
        ("coco_stuff", "COCOStuffDataset", 0),
        ("voc21", "PascalVOCDataset", 0),
        ("voc20", "PascalVOCDataset", 1),
        ("context60", "PascalContextDataset", 0),
        ("context59", "PascalContextDataset59", 0),
    ],
)
def test_names_and_colours_are_those_of_mmseg(name: str, dataset: str, start: int) -> None:
    datasets = pytest.importorskip("mmseg.datasets")
    meta = getattr(datasets, dataset).METAINFO
    vocabulary = Vocabulary.load(name)
    theirs = [RENAMED.get(c.strip(), c.strip()) for c in meta["classes"][start:]]
    assert list(vocabulary.names) == theirs
    assert [list(colour) for colour in vocabulary.palette] == [list(c) for c in meta["palette"][start:]]


def test_coco_objects_are_the_things_of_coco_in_category_order(shared: Path) -> None:
    files = sorted((shared / "data/coco/annotations").glob("instances*.json"))
    categories = json.loads(files[0].read_text())["categories"]
    ordered = [c["name"] for c in sorted(categories, key=lambda c: c["id"])]
    assert len(ordered) == 80
    objects = Vocabulary.load("coco_object").names
    assert [{"aeroplane": "airplane"}.get(name, name) for name in objects[1:]] == ordered
    assert Vocabulary.load("coco_stuff").names[:80] == tuple(ordered)


def test_templates() -> None:
    open_clip = pytest.importorskip("open_clip")
    ours = templates("imagenet80")
    assert [text.format("cat") for text in ours] == [f("cat") for f in open_clip.OPENAI_IMAGENET_TEMPLATES]
    assert len(set(ours)) == 80
    assert templates("plain") == ("a photo of a {}.",)
    assert templates("none") == ("{}",)
    assert templates("none")[0].format("{x} \\ %s") == "{x} \\ %s"
