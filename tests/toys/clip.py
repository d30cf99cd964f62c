"""A CLIP of a few thousand weights, to train in float64."""

import torch
from open_clip import CLIP

from densevl.encoders.clip import CLIPEncoder
from densevl.encoders.mini import mini_tokenizer


def tiny_clip(pool: str = "avg") -> CLIPEncoder:
    """The same CLIP for images of 16 pixels each time, not trained, in float64."""
    tokenizer = mini_tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        model = CLIP(
            embed_dim=8,
            vision_cfg={
                "image_size": 16,
                "patch_size": 8,
                "width": 16,
                "head_width": 8,
                "layers": 2,
                "pool_type": pool,
            },
            text_cfg={"context_length": 24, "vocab_size": tokenizer.vocab_size, "width": 16, "heads": 2, "layers": 1},
        )
    return CLIPEncoder(model.double(), tokenizer, "tiny@1")
