"""Alpha-CLIP from a file of its layout, with a mask and with all ones, against its own code."""

import torch
from safetensors.torch import save_file
from toys.golden import assert_agrees, golden, golden_image, rule_state
from toys.published_regions import REGION_MODELS
from toys.region_models import ALPHA, base_of

from densevl.core.images import normalise
from densevl.encoders.loading import build_clip
from densevl.encoders.towers.alpha import with_alpha


def test_images_with_a_mask(tmp_path):
    outputs = golden("alphaclip_image")
    assert outputs["config"].tolist() == [32, 64, 2, 8, 32]
    state = rule_state({f"visual.{name}": shape for name, shape in REGION_MODELS["alpha-clip"](True).shapes.items()})
    save_file({name.removeprefix("visual."): tensor for name, tensor in state.items()}, tmp_path / "alpha.safetensors")
    save_file(base_of(ALPHA), tmp_path / "base.safetensors")
    path, base = tmp_path / "alpha.safetensors", tmp_path / "base.safetensors"
    encoder = build_clip(path, ALPHA, base=base, text_cache=False)
    image = normalise(golden_image("open-alpha", 32), encoder.mean, encoder.std)
    mask = torch.from_numpy(outputs["mask"]).float()[None]
    assert_agrees(encoder.image.embed(with_alpha(image, mask)), outputs["image_embedding"])
    assert_agrees(encoder.image.embed(image), outputs["image_embedding_all_ones"])
    assert_agrees(encoder.model.visual(image), outputs["image_embedding_all_ones"])
