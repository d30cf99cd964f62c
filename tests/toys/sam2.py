"""A small SAM 2 of seeded weights."""

from typing import Any

import pytest
import torch


def tiny_sam2() -> Any:
    """The same model each time; the test is skipped where transformers is missing."""
    transformers = pytest.importorskip("transformers", minversion="4.56")
    backbone = transformers.Sam2HieraDetConfig(
        hidden_size=8,
        num_attention_heads=1,
        image_size=[128, 128],
        blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=[8, 16, 32, 64],
        num_attention_heads_per_stage=[1, 2, 4, 8],
        window_size_per_stage=[8, 4, 8, 4],
        global_attention_blocks=[3],
    )
    vision = transformers.Sam2VisionConfig(
        backbone_config=backbone,
        backbone_channel_list=[64, 32, 16, 8],
        backbone_feature_sizes=[[32, 32], [16, 16], [8, 8]],
        fpn_hidden_size=32,
    )
    config = transformers.Sam2Config(
        vision_config=vision,
        prompt_encoder_config=transformers.models.sam2.Sam2PromptEncoderConfig(hidden_size=32, image_size=128),
        mask_decoder_config=transformers.models.sam2.Sam2MaskDecoderConfig(
            hidden_size=32, mlp_dim=64, num_attention_heads=4, iou_head_hidden_dim=32
        ),
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.Sam2Model(config).eval()
    with torch.no_grad():  # what depends on the SAM prompt must show
        for parameter in model.mask_decoder.parameters():
            parameter *= 4
    return model
