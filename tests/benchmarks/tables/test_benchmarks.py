"""The leaderboard: absent sets, mixes, shared passes, going on where a run stopped."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from toys.sent import SentEngine

from densevl.benchmarks.leaderboard.contender import Contender, build_contender
from densevl.benchmarks.leaderboard.image_worker import BoardImage, BoardRecipe
from densevl.benchmarks.leaderboard.run import run_leaderboard
from densevl.benchmarks.leaderboard.sets import open_set, set_names
from densevl.benchmarks.leaderboard.shared import SharedEncoder, share_encoders
from densevl.benchmarks.leaderboard.tally import Tally, fingerprint
from densevl.benchmarks.run import evaluate
from densevl.benchmarks.tables import measure
from densevl.benchmarks.tables.benchmarks import benchmarks_table, leaderboard_data, leaderboard_table
from densevl.core.errors import UsageError
from densevl.dense.guides.kept import Kept

BOTH = ("mini-maskclip", "mini-naclip")
QUICK = {"templates": "none", "short_side": 64}


@pytest.fixture
def data(ade):
    """A folder of data sets of which ADE20K alone is here."""
    return ade().parent


@pytest.fixture
def board(data, tmp_path):
    return run_leaderboard(BOTH, ("ade", "voc21"), tmp_path / "reached", data, **QUICK)


def test_each_figure_is_that_of_the_evaluation_by_itself(board, data, tmp_path):
    for name in BOTH:
        options = {f"model.{key}": value for key, value in QUICK.items()}
        options |= {"data_root": str(data / "ade"), "test_dataloader.num_workers": 0}
        alone = evaluate("ade", name, work_dir=tmp_path / "w", options=options)
        found = board.results[name, "ade20k"]
        assert found.miou == pytest.approx(alone.scores.mean_iou, abs=1e-9)
        assert found.protocol["encoder"] == alone.protocol["encoder"]
    assert board.shared == {"ade20k": 2}


def test_an_absent_set_is_named_with_what_prepares_it(board):
    assert board.sets == ("ade20k",)
    assert board.absent["voc21"].startswith("missing: unpack VOCtrainval_11-May-2012.tar")
    table = str(leaderboard_table(board))
    assert "Absent: voc21, missing: unpack VOCtrainval" in table
    assert "| mIoU | protocol | ADE20K | mean | images / s |" in table
    assert "not all images of ade20k: not comparable with published figures" in table
    assert "the mini CLIP knows drawn scenes alone, and figures on photos mean nothing" in table


def test_a_run_goes_on_where_it_stopped(data, tmp_path, monkeypatch):
    folder = tmp_path / "reached"
    measured = []
    own = Contender.measure

    def stopping(self, sample, kept):
        measured.append((self.name, sample["data_samples"].sample_idx))
        if len(measured) == 4:
            raise KeyboardInterrupt
        return own(self, sample, kept)

    monkeypatch.setattr(Contender, "measure", stopping)
    with pytest.raises(KeyboardInterrupt):
        run_leaderboard(BOTH, ("ade",), folder, data, **QUICK)
    again = run_leaderboard(BOTH, ("ade",), folder, data, **QUICK)
    first, second = BOTH
    once = [(name, index) for index in range(3) for name in BOTH]
    assert measured == [*once[:4], *once[2:]]  # an image counts once all models have labelled it
    assert again.results[second, "ade20k"].images == 3
    count = len(measured)
    finished = run_leaderboard(BOTH, ("ade",), folder, data, **QUICK)
    assert len(measured) == count
    assert finished.results[first, "ade20k"].miou == again.results[first, "ade20k"].miou
    run_leaderboard((first,), ("ade",), folder, data, **{**QUICK, "short_side": 80})  # other settings: from the start
    assert len(measured) == count + 3


def test_other_processes_count_the_same_pixels(board, data, tmp_path):
    folder = tmp_path / "sent"
    sent = run_leaderboard(BOTH, ("ade",), folder, data, engine=SentEngine(), **QUICK)
    assert sent.shared == board.shared
    for name in BOTH:
        one, other = (replace(found.results[name, "ade20k"], per_second=0.0) for found in (board, sent))
        assert one == other
        kept = [np.load(place / f"ade20k/{name}.npz")["matrix"] for place in (tmp_path / "reached", folder)]
        assert np.array_equal(*kept)
    one, other = (leaderboard_data(found)["models"] for found in (board, sent))
    assert [row["mean"] for row in one] == [row["mean"] for row in other]
    opened, build = partial(open_set, "ade", data), partial(build_contender, protocol=None, folder=folder, **QUICK)
    worker = BoardRecipe(opened, build, BOTH, (1, 0))()
    (found,) = worker.make([BoardImage(0, "ade20k")], [None])
    assert [counted is None for counted in found] == [True, False]


def test_other_files_are_measured_anew(data, tmp_path):
    one = open_set("ade", data)
    before = one.files
    path = data / "ade/ADEChallengeData2016/annotations/validation/ADE_val_00000001.png"
    Image.fromarray(np.zeros((50, 30), np.uint8)).save(path)
    assert one.files != before


def test_a_mix_is_called_a_mix(data, tmp_path):
    settings = {"weights": "random:0", "limit": 1, "templates": "none"}
    found = run_leaderboard(("mini-maskclip",), ("ade",), tmp_path, data, "sclip", **settings)
    table = str(leaderboard_table(found))
    assert "| mini-maskclip | mix: sclip |" in table
    assert "mini-maskclip (ade20k) is a mix, not the published sclip: the head of mini-maskclip; the weights" in table
    assert "**random weights (mini-maskclip): these figures say nothing about quality**" in table
    (model,) = leaderboard_data(found)["models"]
    assert model["sets"]["ade20k"]["preset"] == "sclip"
    assert model["sets"]["ade20k"]["protocol"]["queries"] == "sclip/ade20k"
    assert model["sets"]["ade20k"]["of"] == 2000


def test_measured_beside_published(board):
    found = board.results["mini-naclip", "ade20k"]
    table = str(
        leaderboard_table(replace(board, results={("x", "ade20k"): replace(found, published=19.1)}, models=("x",)))
    )
    assert f"{found.miou:.1f} (19.1, " in table
    assert "in brackets the published figure and the difference" in table


def test_weights_that_are_not_here_are_a_row_without_figures(data, tmp_path, monkeypatch):
    monkeypatch.setenv("DENSEVL_CACHE", str(tmp_path / "empty"))
    found = run_leaderboard(("naclip", "mini-naclip"), ("ade",), tmp_path / "r", data, limit=1, **QUICK)
    assert found.refused["naclip", "ade20k"] == "not here: densevl fetch naclip"
    table = str(leaderboard_table(found))
    assert "| naclip | – | – | – | – |" in table
    assert "naclip (ade20k): not here: densevl fetch naclip." in table


def test_files_on_scenes(tmp_path):
    table = benchmarks_table(2, ["mini-maskclip,mini-naclip"], out=tmp_path, short_side=64)
    assert (tmp_path / "benchmarks.md").read_text() == f"{table}\n"
    found = json.loads((tmp_path / "benchmarks.json").read_text())
    assert [row["model"] for row in found["models"]] == list(BOTH)
    assert all(row["images_per_second"] > 0 for row in found["models"])
    assert Image.open(tmp_path / "benchmarks.png").size == (776, 488)


def test_a_shared_pass_gives_what_the_encoder_gives(data):
    one = open_set("ade", data)
    contenders = [build_contender(name, one, None, data / "r", **QUICK) for name in BOTH]
    segmentors = [contender.model.segmentor for contender in contenders]
    image = np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8)
    alone = [segmentor.encode([image])[0].features.grid for segmentor in segmentors]
    kept = Kept()
    assert share_encoders(segmentors, kept) == 2
    assert isinstance(segmentors[0].encoder, SharedEncoder)
    assert segmentors[0].encoder is segmentors[1].encoder
    kept.read_by_another()
    first = segmentors[0].encode([image])[0].features.grid
    assert (len(kept), kept.spared) == (1, 0)
    kept.read_by_another()
    second = segmentors[1].encode([image])[0].features.grid
    assert len(kept) == 1
    assert kept.spared > 0
    assert torch.equal(first, alone[0])
    assert torch.equal(second, alone[1])


def test_progress_in_a_damaged_file_is_none(tmp_path):
    tally = Tally(torch.tensor([[1, 2], [3, 4]]), 5, 1, 3, 0.5)
    key = fingerprint({"a": 1})
    tally.write(tmp_path / "a.npz", key)
    again = Tally.read(tmp_path / "a.npz", 2, key)
    assert again.matrix.tolist() == [[1, 2], [3, 4]]
    assert (again.images, again.failures, again.timed, again.seconds, again.per_second) == (5, 1, 3, 0.5, 6)
    assert Tally.read(tmp_path / "a.npz", 2, "other").images == 0
    assert Tally.read(tmp_path / "a.npz", 3, key).images == 0
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04 cut off")
    assert Tally.read(tmp_path / "a.npz", 2, key).images == 0


def test_names_of_sets():
    assert set_names()[:2] == ("voc21", "context60")
    assert set_names()[-1] == "ade"
    assert set_names((), on_photos=False) == ("scenes",)
    assert len(set_names(["mess"])) == 25


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"models": ["nothing"]}, "model 'nothing' is unknown"),
        ({"sets": ["nothing"]}, "config 'nothing' is neither a file nor one of"),
        ({"sets": ["refer_scenes"]}, "refer_scenes is no config of label maps"),
        ({"protocol": "slcip"}, "protocol 'slcip' is unknown"),
    ],
)
def test_what_cannot_be_done_is_said(arguments, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        benchmarks_table(1, **{"models": ["mini-maskclip"], "out": tmp_path, **arguments})


def test_no_set_is_here(tmp_path):
    with pytest.raises(UsageError, match=r"no data set is here; ade: missing: unpack ADEChallengeData2016\.zip"):
        run_leaderboard(("mini-maskclip",), ("ade",), tmp_path / "r", tmp_path)


def test_settings_of_other_tables_are_refused():
    with pytest.raises(UsageError, match="protocol: a setting of benchmarks; got it for shrink"):
        measure("shrink", 1, protocol="sclip")


def test_other_tables_have_no_workers():
    with pytest.raises(UsageError, match="--workers, --ray and --log are options of benchmarks; shrink is measured"):
        measure("shrink", 1, engine=SentEngine())
