"""``densevl label-regions`` end to end, with the shipped mini models on scenes."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.ops import box_iou

from densevl.cli import main
from densevl.datasets.region_texts import read_records
from densevl.datasets.scenes import render
from densevl.datasets.scenes.language import caption

SCENES = [1, 5, 8]


@pytest.fixture
def scenes(tmp_path):
    """A folder of scenes with their captions, and what is in them by the name of the file."""
    folder, truth = tmp_path / "scenes", {}
    folder.mkdir()
    for index in SCENES:
        scene = render(3, index, size=(160, 200))
        Image.fromarray(scene.image).save(folder / f"scene{index}.png")
        (folder / f"scene{index}.txt").write_text(caption(scene, np.random.default_rng(index)))
        truth[f"scene{index}"] = scene
    return folder, truth


def label(*arguments):
    """Run the command with the mini detector, unless the arguments name another."""
    return main(["label-regions", "--detector", "mini", "--device", "cpu", "--offline", *map(str, arguments)])


@pytest.mark.slow
def test_phrases_of_captions_find_their_boxes(scenes, tmp_path, capsys):
    folder, truth = scenes
    out = tmp_path / "shards"
    assert label(folder, "--out", out) == 0
    assert f"{len(SCENES)} images" in capsys.readouterr().out
    found = total = right = boxes = 0
    for record in read_records(out):
        scene = truth[record.key]
        assert np.array_equal(record.read_image(), scene.image)
        for item in scene.objects:
            named = [region.box for region in record.regions if region.text.endswith(item.name)]
            overlap = box_iou(torch.tensor(named).reshape(-1, 4).float(), torch.tensor([item.box]).float())
            total, found = total + 1, found + bool((overlap > 0.5).any())
        for region in record.regions:
            true = [item.box for item in scene.objects if region.text.endswith(item.name)]
            if true:
                boxes += 1
                right += bool((box_iou(torch.tensor([region.box]).float(), torch.tensor(true).float()) > 0.5).any())
    assert total >= 6
    assert found / total >= 0.6
    assert right / boxes > 0.8


def test_a_second_run_has_nothing_to_do(scenes, tmp_path, capsys, tiny_owlv2):
    folder, _ = scenes
    small = "--detector", "owlv2", "--weights", tiny_owlv2[0]
    (folder / "bad.png").write_bytes(b"\x89PNG")
    (folder / "bad.txt").write_text("a dog")
    for done in ("1 made, 0 done before", "0 made, 1 done before"):
        assert label(folder, *small, "--out", tmp_path / "shards") == 1
        printed = capsys.readouterr()
        assert done in printed.out
        assert "bad.png" in printed.err
    (line,) = (tmp_path / "shards" / "failures.jsonl").read_text().splitlines()
    assert json.loads(line)["name"].endswith("bad.png")


def test_a_command_that_cannot_be_used_ends_with_two(scenes, tmp_path, capsys):
    folder, _ = scenes
    out = tmp_path / "shards"
    for arguments, message in (
        ((tmp_path / "nothing",), "no such file"),
        ((folder, "--captions", tmp_path / "none.json"), "cannot be read"),
        ((folder, "--format", "tfrecord"), "unknown format"),
        ((folder, "--phrases", "regex"), "tagger 'regex' is unknown"),
        ((folder, "--detector", "owl"), "did you mean owlv2"),
        ((folder, "--threshold", "2"), "threshold"),
    ):
        assert label(*arguments, "--out", out) == 2, arguments
        assert message in capsys.readouterr().err
        assert not list(out.glob("shard*"))
    for path in folder.glob("*.txt"):
        path.unlink()
    assert label(folder, "--out", out) == 2
    assert "--captioner" in capsys.readouterr().err


def test_captions_of_pictures_that_are_not_there_are_told(scenes, tmp_path, capsys, tiny_owlv2):
    folder, _ = scenes
    captions, small = tmp_path / "captions.json", ("--detector", "owlv2", "--weights", tiny_owlv2[0])
    captions.write_text(json.dumps({"scene1": "a red circle", "other": "a dog"}))
    assert label(folder / "scene1.png", *small, "--captions", captions, "--out", tmp_path / "shards") == 0
    assert "1 captioned image is not among the inputs, such as 'other'" in capsys.readouterr().err
