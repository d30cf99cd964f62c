"""Boxes embedded by RoIAlign: against FG-CLIP's formula on transformers' modules, and the sizes of NaFlex."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torchvision.ops import roi_align
from toys.published_regions import REGION_MODELS, fg_clip_arch, small_transformers_clip

import densevl
from densevl.core.errors import UsageError
from densevl.core.images import normalise
from densevl.core.regions import Regions
from densevl.encoders.images import fit
from densevl.encoders.loading import build_clip
from densevl.regions.embedders.roi_pooling import RoIPooling, size_of_patches


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A file of FG-CLIP's layout of no skill."""
    path = tmp_path_factory.mktemp("fg-clip") / "model.safetensors"
    save_file(REGION_MODELS["fg-clip"](True).state(), path)
    return path


@pytest.fixture(scope="module")
def reference(file):
    """transformers' CLIP with the tensors that FG-CLIP shares with it."""
    from safetensors.torch import load_file
    from transformers import CLIPModel

    model = CLIPModel(small_transformers_clip()).eval()
    model.load_state_dict({name: value for name, value in load_file(file).items() if name in model.state_dict()})
    return model


@pytest.fixture(scope="module")
def embedder(file):
    return RoIPooling(build_clip(file, fg_clip_arch(True), text_cache=False))


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).integers(0, 256, (50, 80, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def regions():
    return Regions(torch.tensor([[0.0, 0, 80, 50], [5, 10, 30, 40], [60, 0, 64, 3]]), (50, 80))


@torch.no_grad()
def test_boxes_are_those_of_fg_clip(reference, embedder, image, regions):
    """Values of the last attention in its place, residuals and feed-forward part kept; then norm, projection, RoIs."""
    encoder, vision = embedder.encoder, reference.vision_model
    assert encoder.resize == "squash"
    pixels = normalise(
        fit(torch.from_numpy(image).permute(2, 0, 1)[None] / 255, (64, 64), "squash"), encoder.mean, encoder.std
    )
    last = vision.encoder.layers[-1]
    x = vision(pixels, output_hidden_states=True).hidden_states[-2]
    x = x + last.self_attn.out_proj(last.self_attn.v_proj(last.layer_norm1(x)))
    x = x + last.mlp(last.layer_norm2(x))
    grid = reference.visual_projection(vision.post_layernorm(x[:, 1:])).mT.unflatten(2, (4, 4))
    boxes = regions.boxes / torch.tensor([80.0, 50, 80, 50]) * 4
    expected = roi_align(grid, [boxes], (1, 1), 1.0, -1, True)[..., 0, 0]
    torch.testing.assert_close(
        embedder.embed(image, regions).vectors, F.normalize(expected, dim=1), atol=1e-4, rtol=1e-4
    )


@torch.no_grad()
def test_images_and_short_texts_are_those_of_its_clip(reference, embedder):
    encoder = embedder.encoder
    pixels = torch.rand(2, 3, 64, 64)
    found = reference.get_image_features(normalise(pixels, encoder.mean, encoder.std))
    pooled = getattr(found, "pooler_output", found)
    torch.testing.assert_close(encoder.embed_images(pixels), F.normalize(pooled, dim=1), atol=1e-4, rtol=1e-4)
    texts = ["a red heart", "two dogs and a ball"]
    ids = encoder.text.tokenize(texts)
    ids = torch.where(ids == 0, 49407, ids)  # its tokenizer fills up with the end
    found = reference.get_text_features(ids)
    pooled = getattr(found, "pooler_output", found)
    torch.testing.assert_close(encoder.embed_texts(texts), F.normalize(pooled, dim=1), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_long_texts_have_places_and_a_projection_of_their_own(file, reference):
    from safetensors.torch import load_file
    from transformers import CLIPModel

    state = load_file(file)
    model = CLIPModel(small_transformers_clip(max_position_embeddings=248)).eval()
    table = "text_model.embeddings.position_embedding"
    kept = {name: value for name, value in state.items() if name in model.state_dict()}
    places = torch.arange(248)[:, None] < 20
    kept[f"{table}.weight"] = torch.where(places, state[f"{table}_ori.weight"], state[f"{table}_res.weight"])
    kept["text_projection.weight"] = state["text_filip_projection.weight"]
    model.load_state_dict(kept)
    short = build_clip(file, fg_clip_arch(True), text_cache=False)
    long = build_clip(file, fg_clip_arch(True, 248), layout="fg-clip-long", text_cache=False)
    assert short.text.context == 77
    assert long.text.context == 248
    assert long.model_id.endswith("+fg-clip-long")
    text = "a cat on a mat " * 30
    ids = long.text.tokenize([text])
    found = model.get_text_features(torch.where(ids == 0, 49407, ids))
    pooled = getattr(found, "pooler_output", found)
    torch.testing.assert_close(long.embed_texts([text]), F.normalize(pooled, dim=1), atol=1e-4, rtol=1e-4)
    assert (long.embed_texts(["a cat"]) - short.embed_texts(["a cat"])).abs().max() > 0.01


def test_each_box_as_if_it_were_the_only_one(embedder, image, regions):
    together = embedder.embed(image, regions).vectors
    for i in range(3):
        torch.testing.assert_close(embedder.embed(image, regions[i]).vectors[0], together[i])
    both = embedder.embed_batch([image, image[:, :40]], [regions, Regions.whole((50, 40))])
    torch.testing.assert_close(both[0].vectors, together)
    assert embedder.embed(image, regions[[]]).vectors.shape == (0, 24)


def test_a_box_of_one_patch_is_that_patch(embedder, image):
    """The middle of a patch is where RoIAlign takes its one sample."""
    grid = embedder.encode(image).grid[0]
    box = Regions(torch.tensor([[20.0, 25, 40, 37.5]]), (50, 80))  # second column, third row
    torch.testing.assert_close(embedder.embed(image, box).vectors[0], F.normalize(grid[:, 2, 1], dim=0))


@pytest.mark.parametrize(("size", "most"), [((480, 640), 256), ((333, 1000), 576), ((50, 51), 128), ((9, 900), 1024)])
def test_sizes_are_those_of_naflex(size, most):
    from transformers.models.siglip2.image_processing_siglip2 import get_image_size_for_max_num_patches

    assert size_of_patches(size, 16, most) == get_image_size_for_max_num_patches(*size, 16, most)


def test_images_may_keep_their_ratio(embedder, image):
    free = RoIPooling(embedder.encoder, patches=[40, 12])
    assert free.encode(image).grid.shape[2:] == (5, 8)  # it has 15 whole patches, which are more than 12
    assert free.encode(image[:30, :40]).grid.shape[2:] == (3, 4)
    assert free.protocol["patches"] == [12, 40]


def test_what_is_refused(embedder, image, regions):
    with pytest.raises(UsageError, match="belong to an image"):
        embedder.embed(image[:30], regions)
    with pytest.raises(UsageError, match="counts above 0"):
        RoIPooling(embedder.encoder, patches=[])


def test_a_model_by_configuration(file, image):
    encoder = {"type": "clip", "weights": str(file), "arch": fg_clip_arch(True)}
    model = densevl.load({"segmentor": {"encoder": encoder, "templates": "none"}, "embedder": {"type": "roi-align"}})
    boxes = [[0, 0, 30, 20], [30, 10, 60, 40]]
    assert model.embed(image, boxes).vectors.shape == (2, 24)
    assert model.segment(image, ["cat", "dog"]).labels.shape == (50, 80)
