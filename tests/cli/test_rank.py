"""``densevl tune --method ranking-adapter`` and ``densevl rank``: what they write, say and refuse."""

import csv
import json
from dataclasses import replace

import pytest
import torch

import densevl
from densevl.cli import main
from densevl.core.errors import UsageError, WeightsError
from densevl.datasets.scenes.ranks import write_ranks
from densevl.datasets.scored import read_scored
from densevl.metrics.ranks import spearman

USE = ["--model", "mini", "--device", "cpu"]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    write_ranks(folder, seed=160, scenes=10, size=64, split="val")
    return folder


@pytest.fixture(scope="module")
def adapter(scenes):
    out, small = scenes / "own.safetensors", ["--set", "tunables.0.side=64", "--steps", "2", "--batch", "4"]
    assert (
        main(["tune", str(scenes / "ranks.json"), "--method", "ranking-adapter", "--out", str(out), *small, *USE]) == 0
    )
    return out


@pytest.fixture(scope="module")
def mini():
    return densevl.load("mini", device="cpu", lazy=True)


def test_the_file_says_what_it_was_trained_for(scenes, adapter):
    ranking = densevl.Ranking.load(adapter)
    assert list(ranking.texts) == ["larger", "nearer the left"]
    assert (ranking.side, ranking.cells, ranking.model["name"]) == (64, 8, "mini")
    assert ranking.facts["shown"] == ["images", "regions"]
    assert not adapter.with_suffix(".tuning").exists()


def test_images_are_ordered_with_the_model_of_the_adapter(scenes, adapter, capsys):
    given = [str(scenes / f"0000{index}.png") for index in (0, 2, 4)]
    (scenes / "broken.png").write_bytes(b"no image")
    table = scenes / "order.csv"
    arguments = ["rank", *given, str(scenes / "broken.png"), "larger", "--adapter", str(adapter), "--csv", str(table)]
    assert main([*arguments, "--json", "--device", "cpu"]) == 1
    said = capsys.readouterr()
    answer = json.loads(said.out)
    assert (answer["text"], answer["by"], answer["remarks"]) == ("larger", "adapter", [])
    scores = [one["score"] for one in answer["ranked"]]
    assert scores == sorted(scores, reverse=True)
    assert {one["image"] for one in answer["ranked"]} == {*given}
    assert "broken.png" in said.err
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [row["image"] for row in rows] == [one["image"] for one in answer["ranked"]]


def test_regions_of_a_file_are_ordered_by_the_adapter_that_comes_with_the_model(scenes, capsys):
    boxes = {"00001": [[4, 4, 12, 12], [10, 10, 50, 40]], "00003": [[30, 8, 26, 20]]}  # corner, width and height
    (scenes / "boxes.json").write_text(json.dumps(boxes))
    images = [str(scenes / f"{name}.png") for name in boxes]
    assert main(["rank", *images, "larger", "--regions", str(scenes / "boxes.json"), "--top", "2", *USE]) == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[0] == "larger"
    assert "(10, 10, 60, 50)" in lines[1]
    assert "(30, 8, 56, 28)" in lines[2]
    assert len(lines) == 3
    assert "cosine" not in said.err


def test_the_adapter_of_mini_knows_the_order_of_held_out_regions(mini, tmp_path):
    examples = read_scored(write_ranks(tmp_path, seed=161, scenes=8, split="val"))
    boxed = [one for one in examples if one.example.box is not None]
    files = sorted({one.example.image for one in boxed})
    for text in ("larger", "nearer the left"):
        own = [one for one in boxed if one.text == text]
        regions = [[one.example.box for one in own if one.example.image == file] for file in files]
        order = mini.rank(files, text, regions=regions)
        truth = {(str(one.example.image), one.example.box): one.score for one in own}
        scores = [truth[one.name, tuple(int(side) for side in one.box)] for one in order]
        found = spearman(torch.tensor([one.score for one in order]), torch.tensor(scores))
        assert found > 0.9, text


def test_without_an_adapter_that_knows_the_text_cosines_order_and_it_is_said(mini, scenes):
    order = mini.rank([scenes / "00000.png", scenes / "00002.png"], "red ring")
    assert order.by == "cosine"
    assert order.remarks == (
        "ordered by the cosine with 'red ring', for want of an adapter that knows it; plain cosines hardly know order",
    )
    assert [one.score for one in order] == sorted((one.score for one in order), reverse=True)


def test_other_texts_and_a_single_image_are_answered_with_a_remark(mini, scenes, adapter):
    order = mini.rank([scenes / "00000.png"], "older", adapter=adapter)
    assert len(order) == 1
    assert order.remarks == (
        "the adapter was not trained for 'older' but for 'larger', 'nearer the left'; the order may mean nothing",
        "there is one thing to order",
    )


def test_an_image_has_one_score_whatever_is_ordered_with_it(mini, scenes, adapter):
    images = [scenes / f"0000{index}.png" for index in range(4)]
    together = {one.name: one.score for one in mini.rank(images, "larger", adapter=adapter)}
    (alone,) = mini.rank(images[2:3], "larger", adapter=adapter)
    assert together[alone.name] == pytest.approx(alone.score, rel=1e-3, abs=1e-4)


def test_what_cannot_be_used_is_said(mini, scenes, adapter, capsys):
    image = str(scenes / "00000.png")
    other = densevl.Ranking.load(adapter)
    object.__setattr__(other, "model_id", "other")
    with pytest.raises(UsageError, match="was trained on 'other' and this encoder is 'mini"):
        mini.rank([image], "larger", adapter=other)
    with pytest.raises(WeightsError, match="no ranking adapter"):
        mini.rank([image], "larger", adapter=image)
    with pytest.raises(UsageError, match=r"there is no ranking adapter .*ranking-adapter"):
        mini.rank([image], "larger", adapter="none.safetensors")
    with pytest.raises(UsageError, match="there is no image"):
        mini.rank([], "larger")
    with pytest.raises(UsageError, match="give regions for each of the 1 images; got 2"):
        mini.rank([image], "larger", regions=[[[0, 0, 2, 2]], [[0, 0, 2, 2]]])
    with pytest.raises(UsageError, match="'clip-svd' learns no order; there are ranking-adapter"):
        mini.learn_ranking(scenes / "ranks.json", method="clip-svd")
    with pytest.raises(UsageError, match="no classes; call learn_ranking"):
        mini.tune([{"image": image, "name": name} for name in ("cat", "dog")][:1], method="ranking-adapter")
    assert main(["rank", "larger", *USE]) == 2
    assert main(["rank", image, " ", *USE]) == 2
    fold = ["--method", "ranking-adapter", "--out", str(scenes / "x.safetensors"), "--fold", str(scenes / "y")]
    assert main(["tune", str(scenes / "ranks.json"), *fold, *USE]) == 2
    assert "learns an order" in capsys.readouterr().err


def test_scores_that_are_not_finite_are_refused():
    from densevl.tasks.ranking import Ranked, ordered

    with pytest.raises(UsageError, match=r"1 of 2 scores are not finite, the first that of b\.png"):
        ordered([Ranked(0, "a.png", 1.0), Ranked(1, "b.png", float("nan"))], "larger", "adapter")
    same = ordered([Ranked(0, "a", 1.0), Ranked(1, "b", 1.0)], "larger", "adapter")
    assert [one.name for one in same] == ["a", "b"]  # equal scores stay as they were given


def test_a_resumed_run_notices_other_scores(scenes, mini, tmp_path):
    given = read_scored(scenes / "ranks.json")
    small = {"settings": {"tunables.0.side": 64, "steps": 2, "batch": 4}, "work_dir": tmp_path}
    mini.learn_ranking(given, **small)
    others = [replace(one, score=-one.score) for one in given]
    with pytest.raises(UsageError, match=r"the run in .* had other scores"):
        mini.learn_ranking(others, **small, resume=True)
