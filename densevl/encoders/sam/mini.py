"""The mini SAM: a Segment Anything model of two million parameters that densevl trains itself, on scenes.

It is made of segment_anything's own classes (Kirillov et al., Segment Anything, ICCV 2023) at a small size: 160 pixels
and 20 x 20 patches in the place of 1024 and 64 x 64. Where they take a patch embedding, it has a stack of convolutions
of the same stride. It knows box and point SAM prompts; masks as input it was not trained for.
"""

import json
from functools import partial

from jaxtyping import Float
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from torch import Tensor, nn

from densevl.core.conv_stem import ConvStem
from densevl.weights.table import DATA

__all__ = ["ConvPatchEmbed", "build_mini_sam"]


class ConvPatchEmbed(ConvStem):
    """The stem with its output laid out as segment_anything's ``PatchEmbed`` lays it out."""

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b rows columns c"]:
        return super().forward(x).permute(0, 2, 3, 1)


def build_mini_sam() -> Sam:
    """The mini SAM with new weights."""
    architecture = json.loads((DATA / "mini" / "sam.json").read_text(encoding="utf-8"))
    side, patch = architecture["image_size"], architecture["patch_size"]
    encoder, decoder = architecture["encoder"], architecture["decoder"]
    width, grid = encoder["out_chans"], (side // patch, side // patch)
    image_encoder = ImageEncoderViT(
        img_size=side, patch_size=patch, norm_layer=partial(nn.LayerNorm, eps=1e-6), use_rel_pos=False, **encoder
    )
    image_encoder.patch_embed = ConvPatchEmbed(encoder["embed_dim"], tuple(architecture["stem"]["channels"]))
    return Sam(
        image_encoder=image_encoder,
        prompt_encoder=PromptEncoder(
            embed_dim=width, image_embedding_size=grid, input_image_size=(side, side), mask_in_chans=16
        ),
        mask_decoder=MaskDecoder(
            transformer_dim=width,
            transformer=TwoWayTransformer(embedding_dim=width, **decoder),
            iou_head_hidden_dim=width,
        ),
    )
