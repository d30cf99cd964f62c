"""Fixtures that every test may use."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

if "PYTEST_XDIST_WORKER_COUNT" in os.environ:  # several processes share the cores; their children inherit it
    workers = int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))

pytest_plugins = ["toys.browser", "toys.buckets", "toys.referring", "toys.region_texts", "toys.small_clip"]

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """Reference outputs and small real data sets beside the repository; the test is skipped where they are absent."""
    folder = Path(os.environ.get("DENSEVL_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"reference material is not at {folder}; set DENSEVL_SHARED to its folder")
    return folder


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Neither tests nor what they share read or write the user's cache, or ever reach for the network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DENSEVL_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        patch.setenv("DENSEVL_OFFLINE", "1")
        yield


@pytest.fixture(scope="session")
def tiny_owlv2(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, Any]:
    """A folder with a small OWLv2 of seeded weights and its processor, and both of them."""
    transformers = pytest.importorskip("transformers")
    import torch

    folder = tmp_path_factory.mktemp("owlv2")
    words = [
        "!",  # the model takes id 0 for padding
        "<|startoftext|>",
        "<|endoftext|>",
        *"abcdefghijklmnopqrstuvwxyz",
        *(f"{c}</w>" for c in "abcdefghijklmnopqrstuvwxyz"),
    ]
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = transformers.CLIPTokenizer(
        str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=16, pad_token="!"
    )
    processor = transformers.Owlv2Processor(
        transformers.Owlv2ImageProcessor(size={"height": 64, "width": 64}), tokenizer
    )
    tower = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.Owlv2Config(
        text_config={
            **tower,
            "vocab_size": len(words),
            "max_position_embeddings": 16,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "pad_token_id": 0,
        },
        vision_config={**tower, "image_size": 64, "patch_size": 16},
        projection_dim=32,
    )
    torch.manual_seed(0)
    model = transformers.Owlv2ForObjectDetection(config).eval()
    with torch.no_grad():  # so that boxes are neither empty nor as large as the image, and scores near one half
        for part, factor in (
            (model.box_head, 0.1),
            (model.class_head.logit_shift, 0.1),
            (model.class_head.logit_scale, 0.1),
        ):
            for parameter in part.parameters():
                parameter.mul_(factor)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder, model, processor


@pytest.fixture(scope="session")
def tiny_sam3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small SAM 3 of seeded weights and its processor."""
    if not hasattr(pytest.importorskip("transformers"), "Sam3Model"):
        pytest.skip("this version of transformers has no SAM 3")
    from toys.sam3 import save_sam3

    return save_sam3(tmp_path_factory.mktemp("sam3"))
