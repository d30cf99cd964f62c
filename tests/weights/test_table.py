"""The facts of the weights table against open_clip, which knows the same models."""

import re

import pytest
import torch

from densevl.core.errors import UsageError
from densevl.encoders.architectures import architectures, build_model
from densevl.weights import location, weights_entry, weights_table
from densevl.weights.layouts import layouts
from densevl.weights.licences import licence_text, terms

FETCHED = [name for name, entry in weights_table().items() if not entry.packaged]
CLIPS = [name for name in FETCHED if weights_entry(name).kind == "clip"]
OF_OPEN_CLIP = [name for name in CLIPS if weights_entry(name).tag]
OTHERS = [name for name in CLIPS if not weights_entry(name).tag]


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
        assert file.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", file.sha256)
        assert (file.size is None) == (file.sha256 is None)
    assert entry.kind == "clip" or all(file.sha256 for file in entry.beside)
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


@pytest.mark.parametrize("name", OF_OPEN_CLIP)
def test_open_clip_says_the_same(name: str) -> None:
    open_clip = pytest.importorskip("open_clip")
    entry = weights_entry(name)
    config = open_clip.get_model_config(entry.arch)
    theirs = open_clip.get_pretrained_cfg(entry.arch, entry.tag)
    assert theirs["hf_hub"].strip("/") == entry.repository
    assert (tuple(theirs["mean"]), tuple(theirs["std"])) == (entry.mean, entry.std)
    assert {"shortest": "crop"}.get(theirs["resize_mode"], theirs["resize_mode"]) == entry.resize
    assert theirs["interpolation"] == entry.interpolation
    assert config.get("quick_gelu", False) == theirs.get("quick_gelu", False)
    assert bool(config["text_cfg"].get("hf_tokenizer_name")) == bool(entry.tokenizer)
    kind = open_clip.CustomTextCLIP if config.pop("custom_text", False) else open_clip.CLIP
    with torch.device("meta"):
        model = kind(**config)
    assert sum(parameter.numel() for parameter in model.parameters()) == entry.parameters
    if entry.size is not None:
        header = entry.size - 4 * entry.parameters
        limit = 100_000 if entry.file.endswith(".safetensors") else 300_000
        assert 0 < header < limit, "a safetensors file is its float32 values and a short header, a pickle little more"


@pytest.mark.parametrize("name", OTHERS)
def test_rows_that_open_clip_has_not(name: str) -> None:
    entry = weights_entry(name)
    assert entry.arch in architectures()
    assert entry.layout is None or entry.layout in layouts()
    if entry.layout and layouts()[entry.layout].mean:
        assert (layouts()[entry.layout].resize or entry.resize) == entry.resize
        assert (entry.mean, entry.std) == (layouts()[entry.layout].mean, layouts()[entry.layout].std)
    assert bool(entry.base) == bool(entry.layout and layouts()[entry.layout].base)
    assert {weights_entry(base).kind for base in entry.bases} <= {"clip", "part"}
    whole = entry.layout in (None, "long-clip", "laclip", "slip", "transformers-clip")  # others hold more, or a part
    if whole and "SigLIP" not in str(entry.arch):
        with torch.device("meta"):
            model = build_model(entry.arch)[0]
        parameters = sum(parameter.numel() for parameter in model.parameters())
        assert parameters == entry.parameters
        if entry.size is not None:
            second = 4 * model.positional_embedding.numel() if entry.layout == "long-clip" else 0
            assert 0 < entry.size - 4 * parameters - second < 300_000


def test_a_tokenizer_is_a_file_beside() -> None:
    for entry in weights_table().values():
        assert entry.tokenizer is None or entry.tokenizer in [file.file for file in entry.beside]


def test_what_a_licence_forbids_is_said() -> None:
    licences = {entry.licence for entry in weights_table().values()}
    assert {licence: terms(licence) for licence in licences if terms(licence)} == {
        "CC-BY-NC-4.0": "no commercial use",
        "none given": "no right to use them was given: ask their authors",
        "Apple ML Research Model License (apple-amlr)": "for research alone, no product",
        "DINOv3 License": "Meta's own terms, to be accepted first; no use in weapons",
        "SAM License": "Meta's own terms, to be accepted first",
        "NVIDIA Open Model License": "NVIDIA's own terms; notices are to be kept",
    }
    assert licence_text(weights_entry("clip-vit-b16-metaclip")) == (
        "clip-vit-b16-metaclip: licence CC-BY-NC-4.0 (no commercial use)"
    )
    assert licence_text(weights_entry("clip-vit-b16-laion2b")) == "clip-vit-b16-laion2b: licence MIT"
    assert terms("a licence of a plug-in") == "read it before you use them"


def test_a_mirror_of_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example/")
    entry = weights_entry("clip-vit-b16-laion2b")
    assert entry.address.startswith("https://mirror.example/laion/CLIP-ViT-B-16-laion2B-s34B-b88K/resolve/")
    assert entry.page.startswith("https://huggingface.co/")


def test_unknown_weights() -> None:
    with pytest.raises(UsageError, match="did you mean clip-vit-h14-laion2b"):
        weights_entry("clip-vit-h14-laion")


def test_weights_lie_on_their_bases() -> None:
    from densevl.api.models import needed_weights

    names = [entry.name for entry in needed_weights("dinov2-txt-vit-l14")]
    head = names.index("dinov2-txt-vit-l14")
    assert {"dinov2-txt-vit-l14-texts", "dinov2-vit-l14-reg4"} <= set(names[:head])
    assert [entry.name for entry in needed_weights("dinov3-vit-l16")] == ["dinov3-vit-l16"]
    assert weights_entry("dinov3-txt-vit-l16").bases == ("dinov3-vit-l16",)
    assert weights_entry("clip-vit-b16-openai").bases == ()
