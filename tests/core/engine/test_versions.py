"""Workers of other versions."""

import pytest

from densevl.core.engine.versions import check_versions, own_versions
from densevl.core.errors import UsageError


def test_a_worker_of_another_version_refuses():
    check_versions(own_versions())
    with pytest.raises(UsageError, match=r"the worker on .* has densevl .* in place of 9\.9; install the same"):
        check_versions({**own_versions(), "densevl": "9.9"})
