"""The protocols of publications by name."""

import inspect

import pytest

from densevl.api.models import model_entry
from densevl.api.protocols import protocol, protocol_names
from densevl.core.background import Background
from densevl.core.errors import UsageError
from densevl.core.vocabulary import Vocabulary, background_words, templates, vocabulary_names
from densevl.tasks.segmentation.segmentor import Segmentor
from densevl.weights import weights_entry

PAIRS = [(name, data) for name in protocol_names() for data in protocol(name).sets]


@pytest.mark.parametrize("name", protocol_names())
def test_every_protocol_says_whose_it_is(name: str) -> None:
    found = protocol(name)
    assert found.title
    assert found.paper
    assert all(sentence.endswith(".") for data in found.sets or [""] for sentence in found.doubts(data))
    assert all(weights_entry(weights).kind == "clip" for weights in found.encoders)


@pytest.mark.parametrize(("name", "data"), PAIRS)
def test_settings_are_those_of_a_segmentor(name: str, data: str) -> None:
    settings = protocol(name).of_set(data)
    assert set(settings) <= set(inspect.signature(Segmentor).parameters)
    assert templates(settings["templates"])
    assert data in vocabulary_names()
    classes, words = Vocabulary.load(data), Vocabulary.load(protocol(name).queries(data) or data)
    assert (len(words), words.background) == (len(classes), classes.background)
    assert words.palette == classes.palette
    with_background = Background.parse(settings["background"]).mode != "none"
    assert with_background == (classes.background is not None)


def test_the_words_of_sclip_are_those_of_its_files() -> None:
    words = Vocabulary.load("sclip/voc21").classes
    assert words[0] == background_words()
    assert {len(synonyms) for synonyms in words} == {26, 1, 7, 5}
    assert (words[4], words[11], words[15][-1]) == (("ship",), ("table",), "person in jacket")
    assert Vocabulary.load("sclip/cityscapes").names[6:8] == ("trafficlight", "trafficsign")
    things = Vocabulary.load("sclip/coco_object").classes
    assert set(words[0]) - set(things[0]) == {"bed"}  # which is also a class
    assert things[1] == (*words[15], "body")
    assert len(Vocabulary.load("proxyclip/coco_object").classes[0]) == 16  # of 17, without "bed"


def test_names_of_collections_are_loaded_and_not_listed() -> None:
    assert not any("/" in name for name in vocabulary_names())
    with pytest.raises(UsageError, match="vocabulary file sclip/nothing does not exist"):
        Vocabulary.load("sclip/nothing")


def test_a_set_changes_what_it_names_alone() -> None:
    found = protocol("sclip")
    general, own = found.settings, found.of_set("voc21")
    assert own == {**general, **{key: value for key, value in found.sets["voc21"].items() if key in own}}
    assert (general["temperature"], own["temperature"]) == (40.0, 65.0)
    assert found.of_set("my own data") == general


def test_a_row_of_a_model_takes_the_settings_of_its_protocol() -> None:
    for name in ("naclip", "sclip", "clearclip", "pearl", "sc-clip", "floss", "radseg-mid"):
        entry = model_entry(name)
        settings = protocol(entry.protocol).settings
        assert {key: entry.segmentor[key] for key in settings} == settings, name
    naclip = model_entry("naclip")
    assert (naclip.protocol, naclip.segmentor["readout"], naclip.segmentor["stages"]) == ("naclip", "naclip", ["pamr"])
    assert naclip.weights == ("clip-vit-b16-openai",)


def test_settings_may_be_changed_without_changing_the_table() -> None:
    protocol("naclip").of_set("voc21")["stages"].append("appearance")
    assert protocol("naclip").of_set("voc21")["stages"] == ["pamr"]


def test_an_unknown_name_is_said_with_what_was_perhaps_meant() -> None:
    with pytest.raises(UsageError, match="protocol 'slcip' is unknown; did you mean sclip"):
        protocol("slcip")
    with pytest.raises(UsageError, match=r"protocol '\*' is unknown"):
        protocol("*")
