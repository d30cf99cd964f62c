import os
import pickle

import pytest

from densevl.core.errors import UsageError
from densevl.datasets.referring.pickles import read_plain_pickle

PYTHON2 = {
    "text protocol": b"(lp0\n(dp1\nS'ref_id'\np2\nI5\nsS'sent'\np3\nVcaf\\u00e9\np4\nsa.",
    "binary protocol": b"\x80\x02]q\x00}q\x01(U\x06ref_idq\x02K\x05U\x04sentq\x03U\x05caf\xc3\xa9q\x04ua.",
}


@pytest.mark.parametrize("name", PYTHON2)
def test_what_python_2_wrote(tmp_path, name):
    path = tmp_path / "refs(unc).p"
    path.write_bytes(PYTHON2[name])
    assert read_plain_pickle(path) == [{"ref_id": 5, "sent": "café"}]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_values_of_every_protocol(tmp_path, protocol):
    value = [{"a": [1, 2.5, None, True], "b": {"c": "text – ünï"}, "d": []}]
    path = tmp_path / "refs.p"
    path.write_bytes(pickle.dumps(value, protocol))
    assert read_plain_pickle(path) == value


class _Command:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def _attacks(target):
    command = f"touch {target}"
    yield from (pickle.dumps([_Command(command)], protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1))
    yield f"(S'{command}'\nios\nsystem\n.".encode()  # INST
    yield f"(cos\nsystem\nS'{command}'\no.".encode()  # OBJ
    yield f'cbuiltins\neval\n(S\'__import__("os").system("{command}")\'\ntR.'.encode()


def test_a_pickle_that_would_run_code_is_refused_and_nothing_runs(tmp_path):
    ran = tmp_path / "ran"
    attacks = list(_attacks(ran))
    pickle.loads(attacks[0])
    assert ran.exists(), "the attack is one"
    ran.unlink()
    for attack in attacks:
        path = tmp_path / "refs(unc).p"
        path.write_bytes(attack)
        with pytest.raises(UsageError, match=r"asks for \S+, which might run code, so it was not read"):
            read_plain_pickle(path)
        assert not ran.exists()


@pytest.mark.parametrize(
    "content", [b"", b"not a pickle", b"\x80\x02]q\x00(K\x01", b"\x80\x02P1\n.", b"\x80\x02]q\x00h\x00a.", b"P1\n."]
)
def test_damaged(tmp_path, content):
    path = tmp_path / "refs.p"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"refs\.p"):
        read_plain_pickle(path)


def test_missing(tmp_path):
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_plain_pickle(tmp_path / "refs.p")
