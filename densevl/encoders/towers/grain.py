"""The image tower of GRAIN: CLIP's ViT, and a decoder whose queries find things, and the image, in its tokens.

Source: Shaunak et al., Grounding Descriptions in Images informs Zero-Shot Visual Recognition (GRAIN),
https://arxiv.org/abs/2412.04429; reference code shaunak27/grain-clip at commit c6bf85e (MIT). The decoder is that of
DETR (Carion et al., ECCV 2020, https://arxiv.org/abs/2005.12872), with layers that normalise first, and without
positions of the memory: all tokens of the ViT behind its last norm, the class token too, brought to its width and
normalised. Of its queries the last stands for the image and each other one for a thing: a box, and a vector that is
trained with texts that describe what is in it. No weights were released.

Convention: boxes are (centre x, centre y, width, height) as fractions of the image.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from timm.models import VisionTransformer
from torch import Tensor, nn

from densevl.core.attention import run_blocks
from densevl.core.errors import UsageError
from densevl.encoders.towers.headed import HeadedTower
from densevl.encoders.towers.timm import TimmTower
from densevl.encoders.towers.timm_model import build_timm_model

__all__ = ["GrainDecoder", "GrainTower", "Seen", "build_grain_tower"]


NO_PATCHES = (
    "GRAIN's patches have no place in the joint space, only its five things and the image; take the detector or the "
    "region embedder `grain`, or another encoder for label maps"
)
"""The error where patches are wanted."""


class Seen(NamedTuple):
    """What GRAIN sees in images.

    Attributes:
        images: embeddings of whole images, not normalised.
        boxes: of things.
        things: embeddings of the things, not normalised.
    """

    images: Float[Tensor, "b d"]
    boxes: Float[Tensor, "b q 4"]
    things: Float[Tensor, "b q d"]


class DecoderLayer(nn.Module):
    """A layer of DETR's decoder that normalises first; queries are added to what asks, and to keys of its own.

    Args:
        width: of the queries and the memory.
        heads: of both attentions.
        inner: width between the linear layers.
    """

    def __init__(self, width: int, heads: int, inner: int) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.multihead_attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.linear1, self.linear2 = nn.Linear(width, inner), nn.Linear(inner, width)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width) for _ in range(3))

    def forward(
        self, x: Float[Tensor, "b q c"], queries: Float[Tensor, "q c"], memory: Float[Tensor, "b n c"]
    ) -> Float[Tensor, "b q c"]:
        """What the queries have found, after this layer."""
        normed = self.norm1(x)
        asking = normed + queries
        x = x + self.self_attn(asking, asking, normed, need_weights=False)[0]
        x = x + self.multihead_attn(self.norm2(x) + queries, memory, memory, need_weights=False)[0]
        return x + self.linear2(F.relu(self.linear1(self.norm3(x))))


class BoxHead(nn.Module):
    """Three linear layers from a query to its box.

    Args:
        width: of the queries.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width, out) for out in (width, width, 4))

    def forward(self, x: Float[Tensor, "b q c"]) -> Float[Tensor, "b q 4"]:
        """Boxes inside of the unit square by their centres."""
        first, second, last = self.layers
        return last(F.relu(second(F.relu(first(x))))).sigmoid()


class GrainDecoder(nn.Module):
    """From the tokens of an image to things and the image.

    Args:
        tokens: width of the tokens.
        dim: width of the joint space.
        width: of the queries.
        layers: how many.
        heads: of its attentions.
        inner: width between the linear layers of a layer.
        queries: one for each thing, and one more for the image.
    """

    def __init__(
        self,
        tokens: int,
        dim: int,
        width: int = 512,
        layers: int = 6,
        heads: int = 8,
        inner: int = 2048,
        queries: int = 6,
    ) -> None:
        super().__init__()
        self.proj, self.pre_norm = nn.Linear(tokens, width, bias=False), nn.LayerNorm(width)
        self.queries = nn.Parameter(torch.randn(queries, width))
        self.layers = nn.ModuleList(DecoderLayer(width, heads, inner) for _ in range(layers))
        self.norm, self.bbox_embed = nn.LayerNorm(width), BoxHead(width)
        self.obj_proj, self.img_proj = (nn.Parameter(torch.randn(width, dim) * width**-0.5) for _ in range(2))

    def forward(self, tokens: Float[Tensor, "b n t"]) -> Seen:
        """See things in the normalised tokens of images."""
        memory = self.pre_norm(self.proj(tokens))
        x = memory.new_zeros(len(memory), *self.queries.shape)
        for layer in self.layers:
            x = layer(x, self.queries, memory)
        x = self.norm(x)
        things = x[:, :-1]
        return Seen(x[:, -1] @ self.img_proj, self.bbox_embed(things), things @ self.obj_proj)


class GrainTower(HeadedTower):
    """The tower as :class:`densevl.encoders.contracts.ImageTower`; its patches have no place in the joint space.

    Args:
        trunk: a ViT of timm.
        decoder: of its width.
    """

    no_head = NO_PATCHES

    def __init__(self, trunk: VisionTransformer, decoder: GrainDecoder) -> None:
        super().__init__(trunk, TimmTower(trunk, nn.Identity()), decoder.img_proj.shape[1])
        self.decoder = decoder

    def to_joint(self, tokens: Float[Tensor, "b n c"]) -> Float[Tensor, "b n d"]:
        """Refused: the decoder leads queries to the joint space, and no patch.

        Raises:
            UsageError: always.
        """
        raise UsageError(NO_PATCHES)

    def look(self, tokens: Float[Tensor, "b n c"]) -> Seen:
        """Things and whole images, from the tokens behind the last block."""
        return self.decoder(self.trunk.norm(tokens))

    def see(self, images: Float[Tensor, "b 3 H W"]) -> Seen:
        """Things in normalised images, and the images."""
        x, grid = self.tokens(images)
        return self.look(run_blocks(self.blocks_on(grid), x))

    def pool(self, tokens: Float[Tensor, "b n c"]) -> Float[Tensor, "b d"]:
        """Whole images in the joint space, not normalised, from the tokens behind the last block."""
        return self.look(tokens).images


def build_grain_tower(
    config: Mapping[str, Any], embed_dim: int, state: Mapping[str, Tensor], quick_gelu: bool
) -> GrainTower:
    """The tower of a config.

    Args:
        config: ``image_size``, ``timm_model_name`` and ``timm_model_kwargs`` of the ViT; ``width``, ``layers``,
            ``heads``, ``inner`` and ``queries`` of the decoder.
        embed_dim: width of the joint space.
        state: not used: the config says the shapes.
        quick_gelu: of the text tower; the ViT has GELU.

    Raises:
        UsageError: where timm does not know the ViT.
    """
    decoder = {name: config[name] for name in ("width", "layers", "heads", "inner", "queries") if name in config}
    vit = build_timm_model({**config, "timm_pool": "token", "timm_proj": "none"}, embed_dim, state, False)
    trunk: Any = vit.trunk
    return GrainTower(trunk, GrainDecoder(trunk.embed_dim, embed_dim, **decoder))
