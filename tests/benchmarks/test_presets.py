"""A published protocol laid over the config of a benchmark."""

import json

import pytest

from densevl.api.changes import arguments_of, changed
from densevl.api.models import model_entry, models
from densevl.api.protocols import protocol, protocol_names
from densevl.benchmarks.presets import Preset, own_protocol
from densevl.benchmarks.run import evaluate
from densevl.classifiers import CLASSIFIERS
from densevl.core.config_files import load_config
from densevl.core.errors import UsageError
from densevl.dense.readouts import READOUTS
from densevl.dense.stages import STAGES

QUICK = {"test_dataloader.num_workers": 0, "model.templates": "none"}
CONFIGS = {"ade20k": "ade"}
PAIRS = [(name, data) for name in protocol_names() for data in protocol(name).sets]


@pytest.mark.parametrize(("name", "data"), PAIRS)
def test_every_preset_resolves_for_every_data_set_that_it_names(name, data):
    config = load_config(CONFIGS.get(data, data))
    assert config.test_dataloader.dataset.vocabulary == data
    preset = Preset.of(name, "mini-maskclip", data)
    preset.lay(config)
    settings = {**protocol(name).of_set(data), "stages": preset.settings.get("stages")}
    assert {key: config.model.get(key) for key in settings} == settings
    assert config.model.get("queries") == protocol(name).queries(data)
    assert not any("." in key for key in config.model)  # the head is another's


def test_a_head_under_another_protocol_is_called_a_mix(ade, tmp_path):
    options = {**QUICK, "data_root": str(ade())}
    report = evaluate("ade", "mini-maskclip", work_dir=tmp_path, options=options, protocol="naclip", limit=1)
    saved = json.loads((tmp_path / "results.json").read_text())
    assert saved["protocol"]["preset"] == "naclip"
    assert saved["protocol"]["mix"] == report.protocol["mix"]
    assert report.protocol["mix"] == [
        "the head of mini-maskclip",
        "the weights mini-clip in the place of clip-vit-b16-openai",
        "templates none in the place of imagenet80",
    ]
    assert report.protocol["stages"] == ["pamr(steps=10, dilations=(8, 16))"]
    assert report.protocol["queries"] == "sclip/ade20k"
    assert "*** a mix, not the published protocol naclip: the head of mini-maskclip; the weights" in str(report)
    assert "*** NACLIP: Its class names are taken to be SCLIP's. ***" in str(report)
    assert report.scores.names[44] == "chest of drawers"  # the classes keep their names


def test_a_result_as_published_is_no_mix():
    preset = Preset.of("own", "naclip", "voc21")
    found = {**preset.settings, "stages": ["pamr(steps=10, dilations=(8, 16))"], "queries": preset.queries}
    encoder = {"encoder": "clip-vit-b16-openai@0123456789ab"}
    assert preset.mixed({**found, **encoder}) == []
    assert preset.remarks({**found, **encoder}) == ["NACLIP: Its class names are taken to be SCLIP's."]
    assert preset.mixed({**found, **encoder, "short_side": 448}) == ["short_side 448 in the place of 336"]
    assert preset.mixed({**found, "encoder": "clip-vit-h14-laion2b@0"})[0].startswith("the weights clip-vit-h14")
    assert preset.mixed({**found, **encoder, "mirrored": True}) == ["mirror images averaged in"]
    other = Preset.of("own", "naclip", "scenes")
    assert "the data set scenes, which it is not published on" in other.mixed({**other.settings, **encoder})


def test_options_by_hand_come_last():
    config = load_config("cityscapes")
    preset = Preset.of("own", "naclip", "cityscapes", {"model.short_side": 448, "model.readout.sigma": 4.0})
    config.model.short_side = 448
    preset.lay(config)
    assert (config.model.short_side, config.model.window) == (448, 224)
    assert preset.changed == ("readout.sigma", "short_side")
    assert "readout.sigma set by hand" in preset.mixed({})


def test_stages_of_a_head_stay_and_those_of_a_protocol_go(monkeypatch):
    naclip = Preset.of("sclip", "naclip", "ade20k")
    assert naclip.settings["stages"] == []  # PAMR goes with NACLIP's protocol
    photo = Preset.of("naclip", "photo", "ade20k")
    assert photo.settings["stages"] == [{"type": "appearance", "shrinkage": 0.3}, {"type": "pamr"}]


OWN = [(name, own_protocol(name)) for name, entry in models().items() if entry.segmentor]
OF_MODELS = [(name, data) for name, own in OWN if own is not None for data in protocol(own).sets]


@pytest.mark.parametrize(("name", "data"), OF_MODELS)
def test_every_model_takes_its_own_protocol_on_every_data_set(name, data):
    preset = Preset.of("own", name, data)
    config = changed(model_entry(name), {**preset.settings, **preset.head})["segmentor"]
    for setting, value in preset.settings.items():
        if setting != "stages":
            assert config[setting] == value
    kinds = [stage["type"] if isinstance(stage, dict) else stage for stage in config.get("stages", ())]
    assert len(set(kinds)) == len(kinds)  # none twice
    assert set(kinds) <= set(STAGES.names)
    for path, value in preset.head.items():
        place, *rest = config, *path.removeprefix("segmentor.").split(".")
        for key in rest[:-1]:
            place = place[int(key)] if key.isdigit() else place[key]
        assert place[rest[-1]] == value or rest == ["stages"]
        member = {"readout": READOUTS, "classifier": CLASSIFIERS, "stages": STAGES}.get(rest[0])
        assert member is None or len(rest) == 1 or rest[-1] in arguments_of(member, place["type"])


def test_changes_of_a_head_are_for_the_own_head_alone():
    assert Preset.of("resclip", "maskclip", "voc21").head == {}
    assert protocol("resclip").head("voc21")["readout.threshold"] == 0.5


def test_who_has_a_protocol_of_its_own():
    assert own_protocol("naclip@clip-vit-l14-openai") == "naclip"
    assert own_protocol("maskclip") == "maskclip"
    assert own_protocol("mini-naclip") is None
    with pytest.raises(UsageError, match="model 'mini-naclip' names no protocol of its own; take that of a publ"):
        Preset.of("own", "mini-naclip", "ade20k")


@pytest.mark.parametrize(
    ("config", "model", "name", "message"),
    [
        ("ade", "mini-maskclip", "slcip", "protocol 'slcip' is unknown; did you mean sclip"),
        ("ade", None, "sclip", "needs a model with a name, such as --model naclip"),
        ("refer_scenes", "mini", "sclip", "protocols are for label maps; leave out --protocol"),
    ],
)
def test_what_cannot_be_done_is_said(config, model, name, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        evaluate(config, model, work_dir=tmp_path, protocol=name)


@pytest.mark.parametrize("data", ["voc21", "context59", "coco_stuff", "cityscapes"])
@pytest.mark.parametrize("name", ["textregion", "talk2dino", "vip"])
def test_changes_of_the_head_are_settings_of_its_model(name, data):
    preset = Preset.of("own", name, data)
    config = changed(model_entry(name), {**preset.settings, **preset.head})["segmentor"]
    for path, value in preset.head.items():
        found = config
        for key in path.removeprefix("segmentor.").split("."):
            found = found[int(key)] if isinstance(found, list) else found[key]
        assert found == value
