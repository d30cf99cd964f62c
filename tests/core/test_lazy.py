"""A lazy value is made once, and only when it is used."""

import pytest

from densevl.core.lazy import Lazy


def test_a_value_is_made_once_and_only_when_it_is_used():
    calls = []
    lazy = Lazy(lambda: calls.append(1) or "value")
    assert not lazy.made
    assert not calls
    assert [lazy.value, lazy.value] == ["value", "value"]
    assert lazy.made
    assert calls == [1]


def test_none_is_a_value_like_others():
    lazy = Lazy(lambda: None)
    assert lazy.value is None
    assert lazy.made
    assert Lazy.of(None).made
    assert Lazy.of(len).value is len


def test_what_failed_is_tried_again():
    answers = [ValueError("not yet"), 7]

    def make():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    lazy = Lazy(make)
    with pytest.raises(ValueError, match="not yet"):
        _ = lazy.value
    assert not lazy.made
    assert lazy.value == 7
