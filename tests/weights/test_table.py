"""The facts of the weights table against open_clip, which knows the same models."""

import re

import pytest
import torch

from densevl.core.errors import UsageError
from densevl.weights import location, weights_entry, weights_table

FETCHED = [name for name, entry in weights_table().items() if not entry.packaged]
CLIPS = [name for name in FETCHED if weights_entry(name).kind == "clip"]


@pytest.mark.parametrize("name", FETCHED)
def test_entries_can_be_fetched_and_checked(name: str) -> None:
    entry = weights_entry(name)
    if entry.repository is None:
        assert entry.address.startswith("https://")
        assert entry.address.endswith(f"/{entry.file}")
    else:
        assert entry.address == f"https://huggingface.co/{entry.repository}/resolve/{entry.revision}/{entry.file}"
        assert re.fullmatch(r"[0-9a-f]{40}|main", entry.revision or "")
        assert entry.file.endswith((".safetensors", ".bin", ".pth", ".pt"))
    assert entry.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", entry.sha256)
    assert entry.git_blob is None or re.fullmatch(r"[0-9a-f]{40}", entry.git_blob)
    assert entry.sha256 is None or entry.size
    assert entry.parameters or entry.size
    for file in entry.beside:
        assert file.address == f"https://huggingface.co/{entry.repository}/resolve/{entry.revision}/{file.file}"
        assert file.size
        assert re.fullmatch(r"[0-9a-f]{64}", file.sha256 or "")
    assert entry.licence
    assert "https://" in entry.paper


def test_the_files_of_a_repository_lie_together_and_the_largest_comes_last() -> None:
    entry = weights_entry("owlv2")
    assert entry.files[-1].file == "model.safetensors"
    assert {"config.json", "vocab.json", "merges.txt"} < {file.file for file in entry.files}
    assert len({location(file).parent for file in entry.files}) == 1
    assert entry.bytes == sum(file.bytes for file in entry.files) > entry.files[-1].bytes
    assert weights_entry("sam-vit-b").files == (weights_entry("sam-vit-b"),)


def test_hashes_are_not_shared() -> None:
    hashes = [entry.sha256 for entry in weights_table().values() if entry.sha256]
    assert len(set(hashes)) == len(hashes) >= 7


@pytest.mark.parametrize("name", CLIPS)
def test_open_clip_says_the_same(name: str) -> None:
    open_clip = pytest.importorskip("open_clip")
    entry = weights_entry(name)
    config = open_clip.get_model_config(entry.arch)
    theirs = open_clip.get_pretrained_cfg(entry.arch, entry.tag)
    assert theirs["hf_hub"].strip("/") == entry.repository
    assert (tuple(theirs["mean"]), tuple(theirs["std"])) == (entry.mean, entry.std)
    assert config.get("quick_gelu", False) == theirs.get("quick_gelu", False)
    with torch.device("meta"):
        model = open_clip.CLIP(**config)
    assert sum(parameter.numel() for parameter in model.parameters()) == entry.parameters
    if entry.size is not None:
        header = entry.size - 4 * entry.parameters
        assert 0 < header < 100_000, "a safetensors file is its float32 values and a short header"


def test_a_mirror_of_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example/")
    entry = weights_entry("clip-vit-b16-laion2b")
    assert entry.address.startswith("https://mirror.example/laion/CLIP-ViT-B-16-laion2B-s34B-b88K/resolve/")
    assert entry.page.startswith("https://huggingface.co/")


def test_unknown_weights() -> None:
    with pytest.raises(UsageError, match="did you mean clip-vit-h14-laion2b"):
        weights_entry("clip-vit-h14")
