"""`densevl fetch` from a real server that has files of the real names and addresses, with a few bytes in each."""

import hashlib
import json
import os
import subprocess
import sys
from urllib.parse import urlsplit

import pytest
from toys.local_hub import Hub, ask_only, running

from densevl.api.catalogue import catalogue
from densevl.cli import main
from densevl.core.errors import WeightsError
from densevl.weights import fetch, is_cached, location, table, weights_entry

NAMES = "clip-vit-b16-laion2b", "dinoiser-b16", "owlv2"


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """The weights table with every file shrunk to a few kilobytes, and the server that has them."""
    catalogue()  # read from the folder that is replaced here
    with running(Hub(b"")) as hub:
        rows = json.loads((table.DATA / "weights.json").read_text())
        for name, row in rows["weights"].items():
            for file, facts in {row["file"]: row, **row.get("beside", {})}.items():
                content = f"{name}/{file} ".encode() * 500
                if "url" in row:
                    row["url"] = hub.endpoint + urlsplit(row["url"]).path
                    hub.others[urlsplit(row["url"]).path] = content
                else:
                    hub.others[f"/{row.get('repository')}/resolve/{row.get('revision')}/{file}"] = content
                if facts.get("sha256"):
                    facts |= {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
                if facts.get("git_blob"):
                    facts["git_blob"] = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "weights.json").write_text(json.dumps(rows))
        monkeypatch.setattr(table, "DATA", tmp_path / "data")
        ask_only(hub, monkeypatch, tmp_path)
        table.weights_table.cache_clear()
        yield hub
    table.weights_table.cache_clear()


def test_a_folder_for_a_machine_without_a_network(hub, tmp_path, monkeypatch, capsys):
    usb = tmp_path / "usb"
    assert main(["fetch", "dinoiser", "owlv2", "--to", str(usb)]) == 0
    printed = capsys.readouterr().out
    assert "10 files, " in printed
    assert printed.index("clip-vit-b16-laion2b: licence MIT") < printed.index("[1/10]")
    assert printed.count("fetched, checked") == 10
    assert f"Copy {usb} to the other machine" in printed
    assert "export DENSEVL_CACHE=FOLDER DENSEVL_OFFLINE=1" in printed
    assert not (tmp_path / "cache").exists(), "only the folder is filled"
    for name in NAMES:
        assert all(location(file, usb).is_file() for file in weights_entry(name).files)
    usb.rename(tmp_path / "elsewhere")  # the other machine, whose copies are newer than the records
    for path in (tmp_path / "elsewhere").rglob("*"):
        os.utime(path)
    monkeypatch.setenv("DENSEVL_CACHE", str(tmp_path / "elsewhere"))
    asked = len(hub.requests)
    for name in NAMES:
        assert fetch(name, offline=True).parent == tmp_path / "elsewhere" / "weights" / name
    assert len(hub.requests) == asked
    assert main(["models", "dinoiser"]) == 0
    assert "MB, here, MIT" in capsys.readouterr().out


def test_a_file_damaged_on_the_way_is_found_offline(hub, tmp_path, monkeypatch):
    """Also one whose hash is in no table: what its hub declared came along."""

    main(["fetch", "maskclip", "--to", str(tmp_path / "usb")])
    monkeypatch.setenv("DENSEVL_CACHE", str(tmp_path / "usb"))
    entry = weights_entry("clip-vit-b16-laion2b")
    assert entry.digest is None
    location(entry).write_bytes(location(entry).read_bytes()[:-1] + b"x")
    with pytest.raises(WeightsError, match="it is damaged or another file"):
        fetch(entry, offline=True)


def test_what_is_in_the_cache_is_copied_and_not_fetched_again(hub, tmp_path, capsys):
    assert main(["fetch", "sam-vit-b"]) == 0
    asked = len(hub.requests)
    assert main(["fetch", "fgvp-b16", "sam-vit-b", "--to", str(tmp_path / "usb")]) == 0
    assert len(hub.requests) == asked + 1, "the other file of fgvp-b16 alone"
    assert "[2/2] sam-vit-b, sam_vit_b_01ec64.pth, 0.0 MB: copied, checked" in capsys.readouterr().out
    entry = weights_entry("sam-vit-b")
    assert location(entry, tmp_path / "usb").read_bytes() == location(entry).read_bytes()
    assert main(["fetch", "sam-vit-b"]) == 0
    assert "was here, checked" in capsys.readouterr().out


def test_it_goes_on_where_it_stopped(hub, tmp_path, capsys):
    hub.script = [1000, 503, 503, 503]
    assert main(["fetch", "fgvp-b16"]) == 1
    error = capsys.readouterr().err
    assert "weights 'clip-vit-b16-openai' are not on this machine, and they cannot be fetched" in error
    assert "sam-vit-b" not in error, "the other file was fetched all the same"
    assert is_cached(weights_entry("sam-vit-b"))
    hub.script = []
    assert main(["fetch", "fgvp-b16"]) == 0
    assert hub.downloads[-1] == "bytes=1000-"


def test_a_repository_of_several_files(hub):
    fetch("grounding-dino")
    entry = weights_entry("grounding-dino")
    assert sorted(path.name for path in location(entry).parent.iterdir() if path.name[0] != ".") == sorted(
        file.file for file in entry.files
    )
    location(entry.files[0]).unlink()
    assert not is_cached(entry)
    asked = len(hub.requests)
    fetch("grounding-dino")
    assert len(hub.requests) == asked + 1
    location(entry.files[0]).unlink()

    with pytest.raises(WeightsError, match=r"8 files, .*densevl fetch grounding-dino --to FOLDER") as caught:
        fetch("grounding-dino", offline=True)
    assert all(str(location(file)) in str(caught.value) for file in entry.files)


def test_names(hub, capsys):
    assert main(["fetch", "mini"]) == 0
    assert "nothing to fetch: these weights come with densevl" in capsys.readouterr().out
    assert main(["fetch", "maskclip", "fgpv"]) == 2
    assert "'fgpv' is neither a model nor weights; did you mean fgvp" in capsys.readouterr().err
    assert hub.requests == [], "an unknown name is said before anything is fetched"
    assert main(["fetch", "naclip@clip-vit-b32-laion2b"]) == 0
    assert is_cached(weights_entry("clip-vit-b32-laion2b"))
    assert not is_cached(weights_entry("clip-vit-b16-openai"))


@pytest.mark.parametrize("arguments", [["segment", "a.png", "cat"], ["refer", "a.png", "cat"], ["embed", "a.png"]])
def test_offline_every_missing_file_is_named_before_anything_heavy_is_imported(arguments, tmp_path):
    code = "import sys; from densevl.cli import main; main(sys.argv[1:]); print('torch' in sys.modules)"
    command = [sys.executable, "-c", code, *arguments, "--offline"]
    environment = {**os.environ, "DENSEVL_CACHE": str(tmp_path), "HF_HUB_CACHE": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == "False"
    first, error, *lines = done.stderr.splitlines()
    model = "fgvp-b16" if arguments[0] == "refer" else "dinoiser"
    assert first == f"densevl: model {model}: the default; --model takes another"
    assert error.startswith("densevl: error: weights 'clip-vit-b16")
    assert [line.split()[0] for line in lines if line.startswith("  ") and line[2] != " "] == [
        "fetch",
        "put",
        "check",
    ] * 2
    assert f"`densevl fetch {model} --to FOLDER`" in done.stderr
    assert "--model mini" in done.stderr
