"""FG-CLIP 2 from a file of its layout, against SigLIP 2 of transformers and its heads written out on its modules."""

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torchvision.ops import roi_align
from toys.published_regions import REGION_MODELS, fg_clip_2_arch, transformers_siglip_2

import densevl
from densevl.core.errors import UsageError
from densevl.core.images import normalise
from densevl.core.regions import Regions
from densevl.encoders.architectures import build_model
from densevl.encoders.contracts import ImageTower
from densevl.encoders.loading import build_clip
from densevl.encoders.towers.fg_clip_2 import AttentionHead
from densevl.regions.embedders.roi_pooling import RoIPooling

CLOSE = {"atol": 1e-4, "rtol": 1e-4}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A file of FG-CLIP 2's layout of no skill."""
    path = tmp_path_factory.mktemp("fg-clip-2") / "model.safetensors"
    save_file(REGION_MODELS["fg-clip-2"](True).state(), path)
    return path


@pytest.fixture(scope="module")
def encoder(file):
    return build_clip(file, fg_clip_2_arch(True), text_cache=False)


@pytest.fixture(scope="module")
def reference(file):
    """SigLIP 2 of transformers and the dense head, which is a second one of its heads."""
    from transformers import Siglip2Model
    from transformers.models.siglip2.modeling_siglip2 import Siglip2MultiheadAttentionPoolingHead

    state, config = load_file(file), transformers_siglip_2(True)
    model, dense = Siglip2Model(config).eval(), Siglip2MultiheadAttentionPoolingHead(config.vision_config).eval()
    model.load_state_dict({name: tensor for name, tensor in state.items() if name in model.state_dict()})
    start = "dense_feature_head."
    dense.load_state_dict({name[len(start) :]: tensor for name, tensor in state.items() if name.startswith(start)})
    return model, dense


def _patches(images):
    """Pixels as SigLIP 2 of any size takes them: patch by patch, row by row, each RGB."""
    rows, columns = images.shape[2] // 16, images.shape[3] // 16
    cut = images.unflatten(3, (columns, 16)).unflatten(2, (rows, 16)).permute(0, 2, 4, 3, 5, 1)
    return cut.flatten(3).flatten(1, 2), torch.tensor([[rows, columns]] * len(images))


@torch.no_grad()
def _expected(reference, images):
    """Whole images and patches, not normalised."""
    model, dense = reference
    pixels, shape = _patches(images)
    seen = model.vision_model(pixels, torch.ones(pixels.shape[:2]), shape)
    x = seen.last_hidden_state
    gathered = dense.attention(x, x, x)[0]
    gathered = gathered + dense.mlp(dense.layernorm(gathered))
    return seen.pooler_output, gathered.mT.unflatten(2, shape[0].tolist())


@pytest.mark.parametrize("size", [(64, 64), (48, 96), (32, 32)])
def test_images_and_patches_of_any_size(encoder, reference, size):
    images = torch.rand(2, 3, *size)
    normal = normalise(images, encoder.mean, encoder.std)
    assert encoder.mean == (0.5, 0.5, 0.5)
    pooled, grid = _expected(reference, normal)
    torch.testing.assert_close(encoder.image.embed(normal), pooled, **CLOSE)
    torch.testing.assert_close(RoIPooling(encoder, "plain").dense(images).grid, grid, **CLOSE)
    for i in range(2):  # a batch is its members one by one
        torch.testing.assert_close(encoder.image.embed(normal[i : i + 1])[0], pooled[i], **CLOSE)


def test_a_patch_alone_is_what_a_pooling_makes_of_it():
    """Attention over one token leaves its value, whatever asks."""
    asked, own = (AttentionHead(48, 3, 96, probe) for probe in (False, True))
    own.load_state_dict(asked.state_dict() | {"probe": torch.randn(1, 1, 48)})
    token = torch.randn(2, 1, 48)
    torch.testing.assert_close(asked(token, token), own(token))


@torch.no_grad()
@pytest.mark.parametrize("kind", ["box", "short", "long"])
def test_texts_by_three_heads(file, kind):
    from transformers import Siglip2Model

    state, places = load_file(file), 196 if kind == "long" else 64
    table = "text_model.embeddings.position_embedding"
    if kind == "long":
        first = torch.arange(196)[:, None] < 20
        state[f"{table}.weight"] = torch.where(first, state[f"{table}_ori.weight"], state[f"{table}_res.weight"])
    if kind != "short":
        for part in ("weight", "bias"):
            state[f"text_model.head.{part}"] = state[f"{kind}text_head.{part}"]
    model = Siglip2Model(transformers_siglip_2(True, places)).eval()
    model.load_state_dict({name: tensor for name, tensor in state.items() if name in model.state_dict()})
    layout = None if kind == "box" else f"fg-clip-2-{kind}"
    encoder = build_clip(file, fg_clip_2_arch(True, places), layout=layout, text_cache=False)
    assert encoder.text.context == places
    texts = ["a red heart", "a cat on a mat " * (20 if kind == "long" else 5)]
    ids = encoder.text.tokenize(texts)
    assert ids.shape == (2, places)
    found = model.get_text_features(ids)
    pooled = getattr(found, "pooler_output", found)
    torch.testing.assert_close(encoder.embed_texts(texts), F.normalize(pooled, dim=1), **CLOSE)
    assert encoder.model_id.endswith("" if kind == "box" else f"+fg-clip-2-{kind}")


def test_boxes(encoder):
    image = torch.randint(0, 256, (70, 130, 3), dtype=torch.uint8).numpy()
    embedder = RoIPooling(encoder, "plain", patches=[8, 32])
    grid = embedder.encode(image).grid
    assert grid.shape[2:] == (4, 8)
    regions = Regions(torch.tensor([[0.0, 0, 130, 70], [20, 10, 60, 50]]), (70, 130))
    boxes = regions.boxes / torch.tensor([130.0, 70, 130, 70]) * torch.tensor([8.0, 4, 8, 4])
    expected = roi_align(grid, [boxes], (1, 1), 1.0, -1, True)[..., 0, 0]
    torch.testing.assert_close(embedder.embed(image, regions).vectors, F.normalize(expected, dim=1))


def test_models_by_configuration(file):
    encoder = {"type": "clip", "weights": str(file), "arch": fg_clip_2_arch(True)}
    segmentor = {"encoder": encoder, "readout": "plain", "templates": "none", "window": None}
    model = densevl.load({"segmentor": segmentor, "embedder": {"type": "roi-align", "patches": [16]}})
    image = torch.randint(0, 256, (48, 80, 3), dtype=torch.uint8).numpy()
    assert model.embed(image, [[0, 0, 30, 20]]).vectors.shape == (1, 48)
    assert model.segment(image, ["cat", "dog"]).labels.shape == (48, 80)


def test_what_is_refused(encoder):
    assert isinstance(encoder.image, ImageTower)
    with pytest.raises(UsageError, match="pools by attention"):
        encoder.image.head()
    with pytest.raises(UsageError, match="no QuickGELU"):
        build_model(fg_clip_2_arch(True) | {"quick_gelu": True})
