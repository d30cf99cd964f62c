"""The options of where work is done."""

import argparse

import pytest

from densevl.cli import _parser
from densevl.cli.workers import add_worker_options, engine_of, given_engine
from densevl.core.errors import UsageError


def parse(*arguments, device="cpu"):
    parser = argparse.ArgumentParser()
    parser.set_defaults(device=device)
    add_worker_options(parser)
    return parser.parse_args(arguments)


@pytest.mark.parametrize(
    ("arguments", "workers", "ray", "threads"),
    [
        ([], 1, None, None),
        (["--workers", "3", "--threads", "2"], 3, None, 2),
        (["--ray"], 1, "local", None),
        (["--ray", "auto", "--workers", "8"], 8, "auto", None),
        (["--ray", "10.0.0.1:6379"], 1, "10.0.0.1:6379", None),
        (["--ray", "ray://head:10001"], 1, "ray://head:10001", None),
    ],
)
def test_the_engine_is_what_the_options_say(arguments, workers, ray, threads):
    engine = engine_of(parse(*arguments))
    assert (engine.workers, engine.ray, engine.threads, engine.gpus) == (workers, ray, threads, 0)


def test_a_word_that_is_no_address_was_meant_for_something_else(capsys):
    with pytest.raises(SystemExit):
        _parser().parse_args(["segment", "photos", "--ray", "cat, dog"])
    assert "HOST:PORT of a cluster; got 'cat, dog'" in capsys.readouterr().err


def test_one_gpu_for_all_workers_is_refused():
    with pytest.raises(UsageError, match="write --device cpu"):
        engine_of(parse("--workers", "2", device="cpu:0"))


def test_an_engine_that_nobody_asked_for_is_no_argument():
    plain, asked = ({"name": "x", **vars(parse(*given, device=None))} for given in ([], ["--workers", "2"]))
    assert given_engine(plain) == {}
    assert given_engine(asked)["engine"].workers == 2
    assert plain == asked == {"name": "x", "device": None}
