"""C-RADIO's tower against transformers, of files that transformers writes as published, with an adaptor beside."""

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from toys.dense import dense
from toys.published import radio_arch
from transformers import RadioConfig, RadioModel

from densevl.core.errors import UsageError, WeightsError
from densevl.dense.readouts.plain import PlainReadout
from densevl.encoders.architectures import build_model
from densevl.encoders.loading import build_clip

WIDTH, INSIDE, JOINT = 32, 40, 24
ARCH = radio_arch(True)
ARCH["vision_cfg"]["align_corners"] = False


def adaptor(kind, seed):
    """Weights of an adaptor, by the names of its export, and the adaptor written out."""
    random = torch.Generator().manual_seed(seed)
    name = f"radio_model.adaptors.siglip2-g.{kind}"
    shapes = {"fc1.weight": (INSIDE, WIDTH), "fc1.bias": (INSIDE,)}
    for part, rows in (("blocks.0", INSIDE), ("final", JOINT)):
        shapes |= {f"{part}.0.weight": (INSIDE,), f"{part}.0.bias": (INSIDE,)}
        shapes |= {f"{part}.2.weight": (rows, INSIDE), f"{part}.2.bias": (rows,)}
    w = {key: torch.randn(shape, generator=random) / 5 for key, shape in shapes.items()}

    def layers(x, part):
        x = F.layer_norm(x, (INSIDE,), w[f"{part}.0.weight"], w[f"{part}.0.bias"])
        return F.gelu(x) @ w[f"{part}.2.weight"].T + w[f"{part}.2.bias"]

    def apply(x):
        x = x @ w["fc1.weight"].T + w["fc1.bias"]
        return layers(x + layers(x, "blocks.0"), "final")

    return {f"{name}.{key}": tensor for key, tensor in w.items()}, apply


@pytest.fixture(scope="module")
def radio():
    torch.manual_seed(0)
    sizes = {"hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 4, "max_img_size": 128}
    model = RadioModel(RadioConfig(**sizes, num_cls_tokens=2, num_registers=3, image_size=64)).eval()
    for weight in model.parameters():  # what starts as zeros or ones would hide a wrong place
        weight.requires_grad_(False).add_(0.05 * torch.randn_like(weight))
    return model


@pytest.fixture(scope="module")
def files(radio, tmp_path_factory):
    folder = tmp_path_factory.mktemp("radio")
    radio.save_pretrained(folder)
    teacher, _ = build_model(ARCH)
    texts = {name: tensor for name, tensor in teacher.state_dict().items() if not name.startswith("visual.")}
    save_file(texts, folder / "siglip2.safetensors")
    state = load_file(folder / "model.safetensors") | adaptor("head_mlp", 1)[0] | adaptor("feat_mlp", 2)[0]
    save_file(state, folder / "c-radio.safetensors")
    return folder


def build(files, **vision):
    arch = ARCH | {"vision_cfg": ARCH["vision_cfg"] | vision}
    return build_clip(files / "c-radio.safetensors", arch, base=files / "siglip2.safetensors", text_cache=False)


@pytest.mark.parametrize("size", [(64, 64), (48, 96), (160, 32)])
@torch.no_grad()
def test_patches_and_images(radio, files, size):
    image = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(3))
    expected = radio(image)
    by = {"summary": adaptor("head_mlp", 1)[1], "features": adaptor("feat_mlp", 2)[1]}
    for patches, apply in by.items():
        encoder = build(files, patches=patches)
        found = dense(encoder, image, PlainReadout()).grid.flatten(2).mT
        torch.testing.assert_close(found, apply(expected.features), atol=1e-4, rtol=1e-4)
    tokens = encoder.image.tokens((image - mean(encoder.mean)) / mean(encoder.std))[0]
    assert tokens.shape[1] == 5 + size[0] * size[1] // 256
    if size == (64, 64):
        whole = by["summary"](expected.last_hidden_state[:, ARCH["vision_cfg"]["token"]])
        torch.testing.assert_close(encoder.embed_images(image), F.normalize(whole, dim=1), atol=1e-5, rtol=1e-4)


def mean(values):
    return torch.tensor(values)[:, None, None]


def test_texts_are_those_of_the_teacher(files):
    encoder = build(files)
    texts, _ = build_model(ARCH)
    state = load_file(files / "siglip2.safetensors")
    texts.text.load_state_dict({name.removeprefix("text."): t for name, t in state.items() if name.startswith("text.")})
    ids = torch.tensor([[1, 2, 3, 0] + [0] * 12])
    torch.testing.assert_close(encoder.text.encode(ids), texts.text.eval()(ids))


def test_what_is_refused(files):
    with pytest.raises(WeightsError, match="holds no adaptor"):
        build_clip(files / "model.safetensors", ARCH, base=files / "siglip2.safetensors")
    with pytest.raises(UsageError, match="patches must be one of"):
        build(files, patches="both")
    with pytest.raises(UsageError, match="own way to resize positions"):
        build(files).last_block(torch.rand(1, 3, 64, 64), positions="bilinear")
    with pytest.raises(WeightsError, match="base=NAME"):
        build_clip(files / "c-radio.safetensors", ARCH)
    with pytest.raises(WeightsError, match="nothing that"):
        build_clip(files / "c-radio.safetensors", ARCH, base=files / "c-radio.safetensors")
