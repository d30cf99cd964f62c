"""Long-CLIP from a file of its layout: texts of 3 to 248 tokens and an image against its own code."""

import open_clip
import torch
from safetensors.torch import save_file
from toys.golden import assert_agrees, golden, golden_image, rule_state

from densevl.core.images import normalise
from densevl.encoders.loading import build_clip


def test_texts_and_images(tmp_path):
    outputs = golden("longclip_text")
    joint, width, heads, layers, vocabulary = outputs["config"].tolist()
    arch = {
        "embed_dim": joint,
        "quick_gelu": True,
        "vision_cfg": {"image_size": 32, "patch_size": 16, "width": 64, "layers": 2, "head_width": 64},
        "text_cfg": {
            "context_length": 248,
            "vocab_size": vocabulary,
            "width": width,
            "heads": heads,
            "layers": layers,
        },
    }
    with torch.device("meta"):
        model = open_clip.CLIP(**arch)
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    shapes["positional_embedding_res"] = shapes["positional_embedding"]
    save_file(rule_state(shapes), tmp_path / "longclip-B.safetensors")
    encoder = build_clip(tmp_path / "longclip-B.safetensors", arch, text_cache=False)
    assert_agrees(encoder.text.encode(torch.from_numpy(outputs["tokens"])), outputs["text"])
    image = normalise(golden_image("open-longclip", 32), encoder.mean, encoder.std)
    assert_agrees(encoder.image.embed(image), outputs["image"])
