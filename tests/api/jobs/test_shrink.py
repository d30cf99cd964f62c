"""Shrinking a CLIP into a file that loads as any other."""

import json

import open_clip
import pytest
import torch
from open_clip.tokenizer import SimpleTokenizer
from toys.dense import dense
from toys.free import free_model
from toys.resnet import resnet_clip

from densevl.api.jobs.shrink import Size, check_target, shrink, write_shrunk
from densevl.core.errors import UsageError
from densevl.dense.readouts.maskclip import MaskCLIPReadout
from densevl.encoders.clip import CLIPEncoder
from densevl.encoders.loading import build_clip
from densevl.encoders.tuning.visual_tokens import VisualTokens

VISION = {"image_size": 32, "patch_size": 8, "width": 48, "layers": 4, "head_width": 16}
TEXT = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 3}
PLAIN = {"embed_dim": 32, "vision_cfg": VISION, "text_cfg": TEXT}


@pytest.fixture(scope="module")
def plain():
    return build_clip("random:0", PLAIN)


@pytest.fixture(scope="module")
def mini():
    return build_clip("mini-clip", text_cache=False)


def images(count):
    return list(torch.rand(count, 3, 40, 52, generator=torch.Generator().manual_seed(0)))


def reloaded(shrunk, tmp_path):
    beside = write_shrunk(shrunk, tmp_path / "small.safetensors")
    assert json.loads(beside.read_text()) == shrunk.config
    return build_clip(tmp_path / "small.safetensors", text_cache=False)


def test_the_first_parts_of_a_plain_clip_are_a_plain_clip(plain, tmp_path):
    shrunk = shrink(plain, Size(32, 2), Size(16, 2))
    model = open_clip.CLIP(**shrunk.config)
    model.load_state_dict(shrunk.state)
    found = reloaded(shrunk, tmp_path)
    batch = torch.rand(2, 3, 32, 32)
    expected = CLIPEncoder(model.eval(), SimpleTokenizer(), "m")
    torch.testing.assert_close(found.embed_images(batch), expected.embed_images(batch))
    torch.testing.assert_close(found.embed_texts(["a dog"]), expected.embed_texts(["a dog"]))
    assert (found.width, found.depth, len(model.transformer.resblocks)) == (32, 2, 2)
    assert shrunk.after[0] < shrunk.before[0]
    assert sum(one.numel() for one in found.model.visual.parameters()) == shrunk.after[0]


def test_important_parts_of_both_towers(plain, tmp_path):
    shrunk = shrink(plain, Size(32, 3), Size(16, 2), images=images(6), texts=["a dog", "two cats on a sofa"])
    found = reloaded(shrunk, tmp_path)
    assert {part["tower"] for part in (shrunk.config["vision_cfg"], shrunk.config["text_cfg"])} == {"free"}
    batch = torch.rand(1, 3, 40, 24)
    assert dense(found, batch, MaskCLIPReadout()).grid.shape == (1, 32, 5, 3)
    assert found.embed_texts(["a dog"]).shape == (1, 32)
    again = shrunk.encoder(plain)
    torch.testing.assert_close(found.embed_images(batch), again.embed_images(batch))
    new = shrunk.encoder(plain, inherited=False)
    assert new.model_id != again.model_id
    assert not torch.allclose(new.embed_images(batch), again.embed_images(batch))


def test_a_shrunk_clip_is_shrunk_further(plain, tmp_path):
    first = reloaded(shrink(plain, Size(32, 3), images=images(4)), tmp_path)
    second = shrink(first, Size(16, 2))
    (tmp_path / "further").mkdir()
    assert reloaded(second, tmp_path / "further").depth == 2


def test_the_mini_clip_keeps_its_stem_and_its_words(mini, tmp_path):
    found = reloaded(shrink(mini, Size(None, 3), Size(96)), tmp_path)
    assert (found.depth, found.width) == (3, 192)
    assert found.text.tokenize(["red circle"]).tolist() == mini.text.tokenize(["red circle"]).tolist()
    scene = torch.rand(1, 3, 128, 128)
    assert found.embed_images(scene).shape == (1, mini.dim)


def test_all_of_it_is_the_same_model(mini, tmp_path):
    found = reloaded(shrink(mini, Size(None, 4), Size(128)), tmp_path)
    scene = torch.rand(1, 3, 128, 128)
    torch.testing.assert_close(found.embed_images(scene), mini.embed_images(scene))
    assert torch.equal(found.embed_texts(["a red circle"]), mini.embed_texts(["a red circle"]))


def test_what_cannot_be_shrunk_is_refused(plain, tmp_path):
    with pytest.raises(UsageError, match="nothing is taken away"):
        shrink(plain, Size())
    tuned = build_clip("random:0", PLAIN)
    VisualTokens(tuned, count=2).attach(tuned)
    with pytest.raises(UsageError, match="shrink it without its delta"):
        shrink(tuned, Size(32, 2), Size(16, 2))
    with pytest.raises(UsageError, match="no CLIP of known architecture"):
        shrink(CLIPEncoder(free_model(), SimpleTokenizer(), "m"), Size(16))
    resnet = CLIPEncoder(resnet_clip(), SimpleTokenizer(), "m")
    resnet.arch = "RN50"
    with pytest.raises(UsageError, match="image tower of ResNet cannot be shrunk"):
        shrink(resnet, Size(16))
    with pytest.raises(UsageError, match="there are none"):
        shrink(plain, Size(16), images=[])
    with pytest.raises(UsageError, match="name some with --texts"):
        shrink(plain, Size(16), Size(16), images=images(2))


def test_targets_are_new_files_of_safetensors(tmp_path):
    with pytest.raises(UsageError, match=r"written as \.safetensors"):
        check_target(tmp_path / "a.pt")
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(UsageError, match=r"a\.json exists"):
        check_target(tmp_path / "a.safetensors")
