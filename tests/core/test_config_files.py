import pytest

from densevl.core.config_files import find_config, load_config, parse_options, start_distributed
from densevl.core.errors import UsageError


def test_options():
    pairs = ["a=1", "b.c=0.5", "d=data/my folder/x,y", "e=[1, 'two']", "f=true", "g=None", "h=none", "i=a=b", "j=1e-3"]
    assert parse_options(pairs) == {
        "a": 1,
        "b.c": 0.5,
        "d": "data/my folder/x,y",
        "e": [1, "two"],
        "f": True,
        "g": None,
        "h": "none",
        "i": "a=b",
        "j": 1e-3,
    }
    with pytest.raises(UsageError, match="KEY=VALUE"):
        parse_options(["data_root"])


def test_a_file_comes_before_a_shipped_config(tmp_path, monkeypatch, root):
    monkeypatch.chdir(tmp_path)
    shipped = root / "configs" / "maskclip_ade.py"
    for name in ("maskclip_ade", "maskclip_ade.py", "configs/maskclip_ade.py"):
        assert find_config(name).resolve() == shipped
    (tmp_path / "maskclip_ade.py").write_text("x = 1\n")
    assert find_config("maskclip_ade.py").resolve() == tmp_path / "maskclip_ade.py"
    with pytest.raises(UsageError, match=r"neither a file nor one of .*maskclip_ade"):
        find_config("maskclip_none")


def test_options_change_a_config(tmp_path):
    (tmp_path / "a.py").write_text("data = dict(root='x', sizes=[1, 2])\n")
    config = load_config(tmp_path / "a.py", {"root": "y", "data.new.deep": 3}, {"root": "data.root"})
    assert config.data == {"root": "y", "sizes": [1, 2], "new": {"deep": 3}}
    with pytest.raises(UsageError, match="does not take the options"):
        load_config(tmp_path / "a.py", {"data.sizes.first": 1})


def test_options_without_effect_are_refused(tmp_path):
    (tmp_path / "a.py").write_text("data = dict(root='x')\nother = 1\n")
    with pytest.raises(UsageError, match=r"a\.py takes no option 'rot'; did you mean root"):
        load_config(tmp_path / "a.py", {"rot": "y"}, {"root": "data.root"})
    with pytest.raises(UsageError, match="takes no option 'other'; there are data"):
        load_config(tmp_path / "a.py", {"other": 2}, keys=["data"])
    assert load_config(tmp_path / "a.py", {"env_cfg.cudnn_benchmark": True}).env_cfg.cudnn_benchmark


@pytest.mark.parametrize(
    "text", ["x = ", "import no_such_module_anywhere\nx = no_such_module_anywhere.y\n", "raise ValueError"]
)
def test_broken_configs(tmp_path, text):
    (tmp_path / "a.py").write_text(text)
    with pytest.raises(UsageError, match=r"a\.py cannot be read"):
        load_config(tmp_path / "a.py")


def test_torchrun_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    (tmp_path / "a.py").write_text("x = 1\n")
    with pytest.raises(UsageError, match="torchrun"):
        start_distributed(load_config(tmp_path / "a.py"), "pytorch")
