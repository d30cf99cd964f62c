"""Changes of a model: by a dotted path or a unique name, other encoders, other weights."""

import pytest
import torch

from densevl.api.changes import changed
from densevl.api.loading import load
from densevl.api.models import ModelEntry, model_entry
from densevl.core.errors import UsageError, WeightsError
from densevl.dense.refiners.dinoiser import DinoiserRefiner
from densevl.dense.refiners.dinoiser_weights import save_heads
from densevl.weights import weights_entry

MINI = model_entry("mini")


def test_a_name_goes_to_the_only_members_that_take_it():
    config = changed(MINI, {"gamma": 0.3, "parser": "rules"})
    assert config["segmentor"]["refiners"][0]["gamma"] == 0.3
    assert config["grounder"]["parser"] == "rules"
    assert MINI.segmentor["refiners"][0]["gamma"] == 0.6


def test_a_path_goes_where_it_leads():
    config = changed(MINI, {"refiners.0.weights": "mine.safetensors", "segmentor.short_side": 96, "readout.mlp": False})
    assert config["segmentor"]["refiners"][0]["weights"] == "mine.safetensors"
    assert config["segmentor"]["short_side"] == 96
    assert config["segmentor"]["readout"] == {"type": "maskclip", "mlp": False}
    config = changed(MINI, {"grounder.embedders.0.visual_prompts": ["crop"]})
    assert config["grounder"]["embedders"][0]["visual_prompts"] == ["crop"]


def test_a_member_is_replaced_by_its_name():
    config = changed(model_entry("dinoiser"), {"readout": "naclip", "refiners": [], "mask_maker": "sam-vit-b"})
    assert config["segmentor"]["readout"] == {"type": "naclip"}
    assert config["segmentor"]["refiners"] == []
    assert config["mask_maker"] == {"type": "sam", "weights": "sam-vit-b"}


def test_what_leads_nowhere_is_refused():
    for changes, message in (
        ({"gama": 1}, "takes no argument 'gama'; did you mean gamma"),
        ({"refiners.1.weights": "x"}, "leads nowhere: there is no '1'"),
        ({"readout.mlp.deep": 1}, "leads nowhere"),
        ({"encoder.weights": "random:x"}, "random:SEED"),
    ):
        with pytest.raises(UsageError, match=message):
            changed(MINI, changes)
    assert changed(MINI, {"segmentor.encoder.weights": ""})["segmentor"]["encoder"]["arch"] == "mini-clip"
    with pytest.raises(UsageError, match=r"has no segmentor\.blend; give it one first"):
        changed(model_entry("photo-fast"), {"blend.weight": 1})
    with pytest.raises(UsageError, match=r"in several places: .*segmentor\.encoder\.weights"):
        changed(MINI, {"weights": "x"})


def test_other_weights_keep_the_architecture():
    entry = model_entry("maskclip")
    assert changed(entry, {"encoder.weights": "mine.pt"})["segmentor"]["encoder"]["arch"] == "ViT-B-16"
    assert changed(entry, {"encoder.weights": "mini-clip"})["segmentor"]["encoder"]["arch"] is None
    seeded = changed(entry, {"encoder.weights": "random:7"})["segmentor"]["encoder"]
    assert (seeded["weights"], seeded["arch"]) == ("random:7", "ViT-B-16")
    with pytest.raises(UsageError, match="this model has 2"):
        changed(model_entry("fgvp"), {"encoder.weights": "mine.pt"})


def test_a_head_on_another_encoder():
    model = load("maskclip@mini-clip", device="cpu", templates="none", short_side=64)
    assert model.name == "maskclip@mini-clip"
    assert model.segmentor.encoder.model_id.startswith("mini-clip@")
    assert model.segmentor.protocol["readout"] == load("mini-maskclip", device="cpu").segmentor.protocol["readout"]
    with pytest.raises(UsageError, match="encoder 'nope' is unknown"):
        load("maskclip@nope")
    with pytest.raises(UsageError, match="model 'nope' is unknown"):
        load("nope@mini-clip")
    with pytest.raises((UsageError, WeightsError)):
        load("maskclip@mini-sam", device="cpu")


@pytest.mark.parametrize("dtype", ["bfloat16", torch.bfloat16])
def test_changes_and_dtype_reach_the_segmentor(dtype):
    segmentor = load("mini", weights="random:0", dtype=dtype, device="cpu", short_side=64, templates="plain").segmentor
    assert (segmentor.short_side, segmentor.templates) == (64, "plain")
    assert segmentor.protocol["dtype"] == "bfloat16"
    assert "@random" in segmentor.encoder.model_id


def test_random_weights_are_those_of_the_heads_too(tmp_path):
    mini = {**MINI.segmentor, "refiners": [{"type": "dinoiser", "weights": "dinoiser-b16"}]}
    first, again, other = (load(mini, weights=f"random:{seed}", device="cpu").segmentor for seed in (0, 0, 1))
    assert first.refiners[0].width == first.encoder.width
    states = [segmentor.refiners[0].state_dict() for segmentor in (first, again, other)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not torch.equal(states[0]["obj_proj.weight"], states[2]["obj_proj.weight"])
    save_heads(DinoiserRefiner(first.encoder.width, 8, encoder_id="mini-clip"), tmp_path / "heads.safetensors")
    heads = {"refiners.0.weights": str(tmp_path / "heads.safetensors")}
    assert load(mini, weights="random:0", device="cpu", **heads).segmentor.refiners[0].obj_proj.out_channels == 8


def test_random_weights_are_those_of_guides_too():
    readout = {"type": "proxyclip", "guide": {"type": "dino", "weights": "dino-vit-b16"}}
    made = {**MINI.segmentor, "readout": readout, "refiners": []}
    settings = changed(ModelEntry("guided", "", made), {"encoder.weights": "random:3"})["segmentor"]["readout"]["guide"]
    assert settings["weights"] == "random:3"
    assert settings["arch"] == weights_entry("dino-vit-b16").arch
    kept = changed(ModelEntry("guided", "", made), {"encoder.weights": "mini-clip"})["segmentor"]["readout"]["guide"]
    assert kept == readout["guide"]


def test_every_setting_of_a_readout_is_in_the_protocol():
    protocols = [
        load("mini-maskclip", device="cpu", readout={"type": "maskclip", "residual": residual}).segmentor.protocol
        for residual in (True, False)
    ]
    assert protocols[0] != protocols[1]


def test_offline_reaches_all_that_names_weights():
    from densevl.api.loading import _offline

    built = object()
    settings = {"type": "a", "parts": [{"weights": "b"}, {"weights": [1, 2]}, built], "inner": {"c": {"weights": "d"}}}
    assert _offline(settings) == {
        "type": "a",
        "parts": [{"weights": "b", "offline": True}, {"weights": [1, 2]}, built],
        "inner": {"c": {"weights": "d", "offline": True}},
    }


def test_a_built_member_cannot_be_changed_inside():
    encoder = load("mini-maskclip", device="cpu").segmentor.encoder
    entry = ModelEntry("custom", segmentor={"encoder": encoder})
    with pytest.raises(UsageError, match="built already"):
        changed(entry, {"encoder.weights": "x"})


def test_a_file_keeps_what_it_does_not_say(tmp_path):
    entry, file = model_entry("clip-vit-l14-laion2b"), tmp_path / "mine.safetensors"
    config = changed(entry, {"encoder.weights": str(file)})
    encoder = {"type": "clip", "weights": str(file), "arch": "ViT-L-14", "like": "clip-vit-l14-laion2b"}
    assert config["segmentor"]["encoder"] == config["grounder"]["embedders"][0]["encoder"] == encoder
    file.with_suffix(".json").write_text("{}")
    assert changed(entry, {"encoder.weights": str(file)})["segmentor"]["encoder"]["arch"] is None
    assert "like" not in changed(entry, {"encoder.weights": "random:1"})["segmentor"]["encoder"]


def test_an_encoder_of_one_architecture_takes_other_weights(tmp_path):
    model = load("photo-fast", device="cpu", weights="random:1")
    assert model.segmentor.encoder.model_id == "efficientnet-lite0@random:1"
    assert model.mask_maker.encoder.model_id == model.embedder.encoder.model_id == model.segmentor.encoder.model_id
    with pytest.raises(WeightsError, match="was made for another model"):
        load("photo-fast", device="cpu", weights="densevl/data/mini/clip.safetensors")
