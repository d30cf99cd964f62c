"""Shards of a job."""

import pytest

from densevl.api.jobs.shards import Shard, ShardNote, missing_shards, read_notes
from densevl.core.errors import UsageError
from densevl.core.files import InputFile


def test_parts_share_all_inputs_and_one_that_is_added_moves_no_other(tmp_path):
    inputs = [InputFile(tmp_path / f"{i}.png", f"day/{i}") for i in range(200)]
    parts = [Shard(number, 7).of(inputs) for number in range(1, 8)]
    assert sorted(item.relative for part in parts for item in part) == sorted(item.relative for item in inputs)
    assert all(10 < len(part) < 60 for part in parts)
    assert [item for item in Shard(3, 7).of(inputs[1:]) if item in parts[2]] == [i for i in parts[2] if i != inputs[0]]
    assert Shard(1, 1).of(inputs) == inputs


@pytest.mark.parametrize(
    ("text", "environment", "expected"),
    [
        ("2/8", {}, Shard(2, 8)),
        ("auto", {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "4", "SLURM_ARRAY_TASK_MIN": "1"}, Shard(3, 4)),
        ("auto", {"SLURM_ARRAY_TASK_ID": "0", "SLURM_ARRAY_TASK_COUNT": "4", "SLURM_ARRAY_TASK_MIN": "0"}, Shard(1, 4)),
        ("auto", {"RANK": "0", "WORLD_SIZE": "2"}, Shard(1, 2)),
        ("auto", {"SLURM_PROCID": "1", "SLURM_NTASKS": "2"}, Shard(2, 2)),
    ],
)
def test_shards_as_users_and_clusters_say_them(text, environment, expected):
    assert Shard.parse(text, environment) == expected


@pytest.mark.parametrize(
    ("text", "environment", "message"),
    [
        ("0/8", {}, "shard 0/8 does not exist"),
        ("9/8", {}, "shard 9/8 does not exist"),
        ("1/0", {}, "does not exist"),
        ("2", {}, "such as 2/8"),
        ("a/b", {}, "such as 2/8"),
        ("auto", {}, "sets neither SLURM_ARRAY_TASK_ID nor RANK"),
        ("auto", {"RANK": "x", "WORLD_SIZE": "2"}, "are no numbers"),
        (
            "auto",
            {"SLURM_ARRAY_TASK_ID": "9", "SLURM_ARRAY_TASK_COUNT": "3", "SLURM_ARRAY_TASK_MIN": "1"},
            "shard 9/3 does not exist",
        ),
    ],
)
def test_what_is_no_shard(text, environment, message):
    with pytest.raises(UsageError, match=message):
        Shard.parse(text, environment)


def test_notes_tell_what_is_missing(tmp_path):
    for number, inputs in ((1, 10), (3, 10)):
        ShardNote(Shard(number, 4), inputs, 5, 1).write(tmp_path)
    (tmp_path / "shard-2-of-4.json").write_text("no note")
    notes = read_notes(tmp_path)
    assert notes == [ShardNote(Shard(1, 4), 10, 5, 1), ShardNote(Shard(3, 4), 10, 5, 1)]
    assert missing_shards(notes) == ["of 4 shards, 2, 4 have not finished"]
    ShardNote(Shard(2, 4), 10, 5, 1).write(tmp_path)
    ShardNote(Shard(4, 4), 12, 5, 1).write(tmp_path)
    [said] = missing_shards(read_notes(tmp_path))
    assert "did not divide the same inputs: 1/4 10, 2/4 10, 3/4 10, 4/4 12" in said
    assert missing_shards([]) == []
