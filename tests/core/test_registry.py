"""Registries: rows, plug-ins, and settings of the wrong kind."""

from dataclasses import dataclass

import pytest

from densevl.core.errors import UsageError
from densevl.core.registry import Registry, build


@dataclass(frozen=True)
class Member:
    count: int = 1
    scale: float | None = None
    name: str = "x"
    fast: bool = False
    other: list[int] | None = None


@pytest.fixture
def registry():
    return Registry("thing", {"maskclip": "densevl.dense.readouts.maskclip:MaskCLIPReadout"})


def test_a_row_is_imported_when_it_is_asked_for(registry):
    assert not registry.module_dict
    assert build(registry, "maskclip").residual
    assert list(registry.module_dict) == ["maskclip"]


def test_a_row_may_have_settings(registry):
    registry.add({"less": ("densevl.dense.readouts.maskclip:MaskCLIPReadout", {"mlp": False})})
    assert not build(registry, "less").mlp
    assert not build(registry, {"type": "less", "residual": False}).residual
    assert registry.names == ["less", "maskclip"]


def test_members_from_outside(registry):
    registry.register_module("mine", module=Member)
    assert build(registry, {"type": "mine", "count": 3}) == Member(3)
    built = Member()
    assert build(registry, built) is built


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"count": "abc"}, "thing 'mine': count must be int; got 'abc'"),
        ({"count": 1.5}, "count must be int"),
        ({"count": True}, "count must be int"),
        ({"scale": "big"}, "scale must be float or null"),
        ({"name": 3}, "name must be str"),
        ({"fast": 1}, "fast must be bool"),
        ({"nothing": 1}, "cannot be built"),
    ],
)
def test_settings_of_another_type_are_named(registry, settings, message):
    registry.register_module("mine", module=Member)
    with pytest.raises(UsageError, match=message):
        build(registry, {"type": "mine", **settings})


@pytest.mark.parametrize("settings", [{"scale": 2}, {"scale": None}, {"scale": 0.5}, {"other": [1]}, {"fast": True}])
def test_settings_that_fit(registry, settings):
    registry.register_module("mine", module=Member)
    assert build(registry, {"type": "mine", **settings})


def test_an_unknown_name_comes_with_those_that_there_are(registry):
    with pytest.raises(UsageError, match="thing 'maskklip' is unknown; did you mean maskclip"):
        build(registry, "maskklip")


@pytest.mark.parametrize("config", [3, 0.5, [], (), b"x", {1: 2}, {"type": 3}, len])
def test_what_is_no_config_is_refused(config):
    with pytest.raises(UsageError, match="toy"):
        build(Registry("toy", {}), config)
