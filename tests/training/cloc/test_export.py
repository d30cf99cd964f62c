"""What a training of CLOC leaves behind, and that encoder and prompter find each other again."""

import pytest
import torch

from densevl.core.errors import UsageError, WeightsError
from densevl.core.regions import Regions
from densevl.datasets.scenes import render
from densevl.encoders.loading import build_clip
from densevl.regions.embedders.prompted import PromptedRegions, load_prompter
from densevl.training.cloc.accuracy import RegionReader
from densevl.training.export import export
from densevl.training.train import train
from densevl.weights import load_state_dict, read_metadata


def options(**more: object) -> dict[str, object]:
    """A training that takes a moment."""
    return {
        "train_cfg.max_iters": 2,
        "train_cfg.val_interval": 2,
        "train_dataloader.batch_size": 2,
        "train_dataloader.dataset.length": 4,
        "train_dataloader.dataset.size": 64,
        "val_dataloader.dataset.length": 2,
        **more,
    }


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A model that was trained whole, and its work folder."""
    folder = tmp_path_factory.mktemp("tune")
    return train("cloc_tune_scenes", folder, options=options()), folder


def test_the_files_are_the_trained_model(trained):
    model, folder = trained
    encoder = build_clip(folder / "clip.safetensors", "mini-clip", text_cache=False)
    for name, value in encoder.model.state_dict().items():
        assert torch.equal(value, model.clip.state_dict()[name]), name
    finished = build_clip("mini-clip", text_cache=False).model
    assert not torch.equal(encoder.model.visual.proj, finished.visual.proj)
    image = render(7, 0).image
    embedder = PromptedRegions(encoder, folder / "prompter.safetensors")
    regions = Regions.from_boxes([[3, 4, 90, 70], [50, 60, 128, 128]], image.shape[:2])
    found = embedder.embed(image, regions)
    live = RegionReader(model.encoder, model.prompter, ["sand"]).reader
    torch.testing.assert_close(found.vectors, live.embed(live.encode([image]), [regions])[0].vectors)


def test_another_encoder_is_refused(trained):
    _, folder = trained
    with pytest.raises(UsageError, match="take that encoder"):
        load_prompter(folder / "prompter.safetensors", build_clip("mini-clip", text_cache=False).model_id)


def test_a_checkpoint_gives_the_same_files(trained, tmp_path):
    _, folder = trained
    export(folder / "iter_2.pth", tmp_path)
    assert (tmp_path / "clip.safetensors").read_bytes() == (folder / "clip.safetensors").read_bytes()
    pair = [folder / "prompter.safetensors" for folder in (folder, tmp_path)]
    assert read_metadata(pair[0]) == read_metadata(pair[1])
    one, other = map(load_state_dict, pair)
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_a_frozen_encoder_is_named_and_not_written(tmp_path):
    changed = options(**{"val_dataloader.dataset.length": 1})
    changed |= {"model.frozen": True, "optim_wrapper.paramwise_cfg.rates": {"_delete_": True}}
    train("cloc_tune_scenes", tmp_path, options=changed)
    assert not (tmp_path / "clip.safetensors").exists()
    load_prompter(tmp_path / "prompter.safetensors", build_clip("mini-clip", text_cache=False).model_id)
    export(tmp_path / "iter_2.pth", tmp_path / "again")
    assert [file.name for file in (tmp_path / "again").iterdir()] == ["prompter.safetensors"]


def test_checkpoints_that_hold_no_cloc(trained, tmp_path):
    _, folder = trained
    checkpoint = torch.load(folder / "iter_2.pth", weights_only=True)
    torch.save({"state_dict": checkpoint["state_dict"]}, tmp_path / "bare.pth")
    with pytest.raises(WeightsError, match="does not say which encoder"):
        export(tmp_path / "bare.pth", tmp_path)
    checkpoint["state_dict"]["clip.visual.proj"][0, 0] = float("nan")
    torch.save(checkpoint, tmp_path / "nan.pth")
    with pytest.raises(WeightsError, match=r"visual\.proj: the training diverged"):
        export(tmp_path / "nan.pth", tmp_path)
    assert not list(tmp_path.glob("*.safetensors"))


def test_a_rate_of_a_frozen_clip(tmp_path):
    with pytest.raises(UsageError, match="names 'clip', which is not trained here; trained are prompter"):
        train("cloc_tune_scenes", tmp_path, options=options(**{"model.frozen": True}))
