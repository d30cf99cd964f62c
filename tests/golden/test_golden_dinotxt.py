"""dino.txt's head and text tower against the authors' code, in both of its spaces."""

import pytest
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from toys.dense import dense
from toys.golden import assert_agrees, golden, golden_image, rule_state

from densevl.core.attention import run_block
from densevl.dense.readouts.plain import PlainReadout
from densevl.encoders.loading import build_clip

WIDTH, HEADS, BLOCKS, JOINT, WORDS, CONTEXT, TEXT = 64, 4, 2, 128, 400, 12, 48
DINOV2 = "vit_large_patch14_reg4_dinov2"
SIZES = {"img_size": 42, "embed_dim": WIDTH, "depth": 2, "num_heads": HEADS}


def arch(part):
    """dino.txt on a small DINOv2; the joint space of patches is half as wide."""
    return {
        "embed_dim": JOINT if part == "image" else JOINT // 2,
        "vision_cfg": {
            "tower": "dinotxt",
            "timm_model_name": DINOV2,
            "timm_model_kwargs": SIZES,
            "image_size": 42,
            "heads": HEADS,
            "layers": BLOCKS,
            "hidden": 192,
            "part": part,
        },
        "text_cfg": {
            "tower": "dinotxt",
            "vocab_size": WORDS,
            "context_length": CONTEXT,
            "width": TEXT,
            "heads": 4,
            "layers": 2,
            "part": part,
        },
    }


@pytest.fixture(scope="module")
def reference():
    return golden("dinotxt_heads")


@pytest.fixture(scope="module")
def encoders(reference, tmp_path_factory):
    """Both spaces, of two files: the head and the texts by rule, and a random DINOv2 as its authors name it."""
    folder = tmp_path_factory.mktemp("dinotxt")
    torch.manual_seed(0)
    state = timm.create_model(DINOV2, num_classes=0, **SIZES).state_dict()
    state["register_tokens"] = state.pop("reg_token") + 0.1
    state["pos_embed"] = torch.cat([torch.randn(1, 1, WIDTH), state["pos_embed"]], 1)
    save_file(state | {"mask_token": torch.zeros(1, WIDTH)}, folder / "base.safetensors")
    save_file(rule_state([str(row) for row in reference["names"]]), folder / "head.safetensors")
    return {
        part: build_clip(folder / "head.safetensors", arch(part), base=folder / "base.safetensors", text_cache=False)
        for part in ("image", "patches")
    }


def behind_the_head(encoder, tokens):
    for block in encoder.image.blocks_on((3, 3)):
        tokens = run_block(block, tokens)["out"]
    return tokens


def test_the_head(encoders, reference):
    tokens = torch.from_numpy(reference["backbone_tokens"])
    whole, patches = encoders["image"], encoders["patches"]
    assert_agrees(whole.image.pool(behind_the_head(whole, tokens)), reference["image_embedding"])
    last = behind_the_head(patches, tokens)
    assert_agrees(patches.to_joint(last)[:, patches.image.prefix :], reference["patches"])
    assert_agrees(patches.image.pool(last), reference["image_embedding"][:, WIDTH:])


def test_texts(encoders, reference):
    ids = torch.from_numpy(reference["text_tokens"])
    assert_agrees(encoders["image"].text.encode(ids), reference["text_embedding"])
    assert_agrees(encoders["patches"].text.encode(ids), reference["text_embedding"][:, JOINT // 2 :])
    assert encoders["image"].text.short_context


def test_scores_are_the_published_cosines(encoders, reference):
    image, ids = golden_image("open-dinotxt", 42), torch.from_numpy(reference["text_tokens"])
    texts = torch.from_numpy(reference["text_embedding"])
    whole, patches = encoders["image"], encoders["patches"]
    grid = dense(patches, image, PlainReadout()).grid.flatten(2).mT[0]
    found = F.normalize(grid, dim=1) @ F.normalize(patches.text.encode(ids), dim=1).mT
    expected = F.cosine_similarity(grid[:, None], texts[None, :, JOINT // 2 :], dim=2)
    torch.testing.assert_close(found, expected)
    tokens, _ = whole.image.tokens(
        (image - torch.tensor(whole.mean)[:, None, None]) / torch.tensor(whole.std)[:, None, None]
    )
    last = whole.image.trained.norm(behind_the_head(whole, tokens))
    embedding = torch.cat([last[:, 0], last[:, whole.image.prefix :].mean(1)], dim=1)
    found = whole.embed_images(image) @ F.normalize(whole.text.encode(ids), dim=1).mT
    torch.testing.assert_close(found, F.cosine_similarity(embedding, texts)[None], atol=1e-5, rtol=1e-4)
    # What (0, patch) in the whole space would score differs from text to text, not by one factor.
    shares = texts[:, JOINT // 2 :].norm(dim=1) / texts.norm(dim=1)
    assert shares.max() / shares.min() > 1.01
