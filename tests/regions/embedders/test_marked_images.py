import numpy as np
import pytest
import torch

from densevl.core.errors import UsageError
from densevl.core.regions import Regions
from densevl.core.registry import build
from densevl.datasets.scenes import render
from densevl.encoders.clip import WholeImageEncoder
from densevl.encoders.mini import mini_tokenizer
from densevl.encoders.photo import build_photo
from densevl.regions.embedders import REGION_EMBEDDERS
from densevl.regions.embedders.marked_images import MarkedImages
from densevl.regions.visual_prompts import Style, draw

PROMPTS = ("crop", "blur_mask")


@pytest.fixture(scope="module")
def embedder(mini) -> MarkedImages:
    return MarkedImages(mini, PROMPTS, batch=2)


def test_vectors_are_those_of_the_marked_images(embedder, mini, scene, regions):
    found = embedder.embed(scene.image, regions)
    for name in PROMPTS:
        marked = torch.from_numpy(draw(scene.image, regions, name, 128)).permute(0, 3, 1, 2)
        expected = mini.embed_images(marked.float() / 255, mode="squash")
        assert torch.allclose(found.parts[name], expected, atol=1e-5)
    assert found.model_id == mini.model_id
    assert torch.allclose(found.vectors.norm(dim=1), torch.ones(len(regions)), atol=1e-5)


def test_a_region_is_embedded_as_if_alone_and_in_any_batch(embedder, mini, scene, regions):
    whole = embedder.embed(scene.image, regions)
    alone = [embedder.embed(scene.image, regions[i]) for i in range(len(regions))]
    assert torch.allclose(whole.vectors, torch.cat([one.vectors for one in alone]), atol=1e-5)
    large = MarkedImages(mini, PROMPTS, batch=64).embed(scene.image, regions)
    for name in PROMPTS:
        assert torch.allclose(whole.parts[name], large.parts[name], atol=1e-5)


def test_weights_weigh_the_cosines(mini, scene, regions):
    texts = mini.embed_texts(["red circle", "blue star"])
    one = {name: MarkedImages(mini, name).embed(scene.image, regions).cosines(texts) for name in PROMPTS}
    both = MarkedImages(mini, PROMPTS, weights=(1, 0.25)).embed(scene.image, regions).cosines(texts)
    assert torch.allclose(both, one["crop"] + 0.25 * one["blur_mask"], atol=1e-5)


def test_compatible_style_embeds_the_published_bytes(mini, scene, regions):
    style = Style(compatible=True)
    found = MarkedImages(mini, ("blur_mask",), style=style).embed(scene.image, regions)
    marked = torch.from_numpy(draw(scene.image, regions, "blur_mask", 128, style)).permute(0, 3, 1, 2)
    assert torch.allclose(found.vectors, mini.embed_images(marked.float() / 255, mode="squash"), atol=1e-5)


def test_the_mini_clip_reads_crops():
    """Far above chance (a quarter), whatever its exact quality."""
    mini = build(REGION_EMBEDDERS, {"type": "marked-images", "encoder": {"type": "clip", "weights": "mini-clip"},
                                    "visual_prompts": ["crop"]})  # fmt: skip
    right = total = 0
    for index in range(3):
        scene = render(11, index, (96, 120), count=(4, 4))
        regions = Regions.from_boxes([item.box for item in scene.objects], (96, 120))
        texts = mini.encoder.embed_texts([item.name for item in scene.objects])
        best = mini.embed(scene.image, regions).cosines(texts).argmax(0)
        names = [item.name for item in scene.objects]
        right += sum(names[found] == name for found, name in zip(best.tolist(), names, strict=True))
        total += len(names)
    assert right > 0.6 * total


def test_no_regions(embedder, scene):
    found = embedder.embed(scene.image, Regions.from_boxes([], (72, 96)).with_masks(torch.zeros(0, 72, 96) > 0))
    assert found.vectors.shape == (0, embedder.encoder.dim)
    assert set(found.parts) == set(PROMPTS)


def test_the_protocol_says_everything(embedder):
    told = embedder.protocol
    assert told["visual_prompts"] == {"crop": 1.0, "blur_mask": 1.0}
    assert told["style"]["blur"] == 100
    assert told["size"] == 128
    assert embedder.needs_masks
    assert not MarkedImages(embedder.encoder, "crop").needs_masks


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"visual_prompts": ["blur"]}, "did you mean"),
        ({"visual_prompts": []}, "one visual prompt"),
        ({"visual_prompts": ["crop", "crop"]}, "different"),
        ({"weights": [1.0]}, "one weight for each"),
        ({"style": {"linen": "red"}}, "style: .*linen"),
        ({"batch": 0}, "batch"),
    ],
)
def test_wrong_arguments(mini, arguments, message):
    with pytest.raises(UsageError, match=message):
        MarkedImages(mini, **arguments)


def test_masks_are_asked_for(embedder, scene):
    with pytest.raises(UsageError, match="mask maker"):
        embedder.embed(scene.image, Regions.from_boxes([[0, 0, 9, 9]], (72, 96)))
    with pytest.raises(UsageError, match="belong to an image"):
        embedder.embed(np.zeros((9, 9, 3), np.uint8), Regions.whole((72, 96)))


def test_what_keeps_its_size_is_not_brought_to_that_of_the_encoder(scene, regions):
    photo = build_photo()
    kept = MarkedImages(photo, "square", size=64, mode="keep")
    marked = torch.from_numpy(draw(scene.image, regions, "square", 64)).permute(0, 3, 1, 2).float() / 255
    found = kept.embed(scene.image, regions)
    torch.testing.assert_close(found.vectors, photo.embed_images(marked, mode="keep"), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(found.vectors, photo.embed_images(marked, mode="squash"), atol=1e-3)
    assert kept.protocol["mode"] == "keep"


def test_marked_images_are_kept_where_they_are_whole_patches(mini, scene, regions):
    kept = MarkedImages(mini, "square", size=64, mode="keep").embed(scene.image, regions)
    assert kept.vectors.shape == (len(regions), mini.dim)
    with pytest.raises(UsageError, match="take a size of whole patches of 8 pixels"):
        MarkedImages(mini, "square", size=60, mode="keep").embed(scene.image, regions)


def test_an_encoder_of_one_size_keeps_no_other(mini, scene, regions):
    whole = WholeImageEncoder(mini.model, mini_tokenizer(), "whole")
    with pytest.raises(UsageError, match="takes images of one size"):
        MarkedImages(whole, "square", mode="keep").embed(scene.image, regions)
