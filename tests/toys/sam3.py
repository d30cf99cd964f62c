"""A small SAM 3 of seeded weights in a folder, made by transformers itself."""

import json
from pathlib import Path

import torch
from transformers import CLIPTokenizer, Sam3Config, Sam3ImageProcessor, Sam3Model, Sam3Processor

WORDS = ["!", "<|startoftext|>", "<|endoftext|>", *"abcdefghijklmnopqrstuvwxyz"]
WORDS += [f"{letter}</w>" for letter in "abcdefghijklmnopqrstuvwxyz"]
SIDE, CONTEXT = 56, 16

PART = {"hidden_size": 16, "num_attention_heads": 2}
CONFIG = {
    "vision_config": {
        "backbone_config": {
            "model_type": "sam3_vit_model",
            **PART,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "image_size": SIDE,
            "patch_size": 14,
            "window_size": 2,
            "global_attn_indexes": [1],
            "pretrain_image_size": 28,
        },
        "fpn_hidden_size": 16,
        "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
    },
    "text_config": {
        "model_type": "clip_text_model",
        **PART,
        "vocab_size": len(WORDS),
        "intermediate_size": 32,
        "projection_dim": 16,
        "num_hidden_layers": 2,
        "max_position_embeddings": CONTEXT,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
    },
    "geometry_encoder_config": {**PART, "num_layers": 1, "intermediate_size": 32},
    "detr_encoder_config": {**PART, "num_layers": 2, "intermediate_size": 32},
    "detr_decoder_config": {**PART, "num_layers": 2, "num_queries": 6, "intermediate_size": 32},
    "mask_decoder_config": PART,
}


def save_sam3(folder: Path) -> Path:
    """Write the files of a small SAM 3, and say where."""
    (folder / "vocab.json").write_text(json.dumps({word: place for place, word in enumerate(WORDS)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(
        str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=CONTEXT, pad_token="!"
    )
    size = {"height": SIDE, "width": SIDE}
    torch.manual_seed(0)
    model = Sam3Model(Sam3Config(**CONFIG)).eval()
    with torch.no_grad():  # so that answers differ by image, text and place
        for name, weight in model.named_parameters():
            if weight.ndim > 1:
                weight.mul_(8 if "position" not in name else 1)
    model.save_pretrained(folder)
    Sam3Processor(Sam3ImageProcessor(size=size), tokenizer).save_pretrained(folder)
    return folder
