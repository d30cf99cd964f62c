"""C-RADIO: one tower that was taught by several, and the adaptor that leads from it to the space of one teacher.

Source: Ranzinger et al., AM-RADIO, CVPR 2024, https://arxiv.org/abs/2312.06709; Heinrich et al., RADIOv2.5, CVPR 2025,
https://arxiv.org/abs/2412.07679; C-RADIOv4, https://arxiv.org/abs/2601.17237. Names and shapes of the tower are those
that timm 1.0 and transformers 5.24 read (``RadioModel``); those of the adaptors are the ones that the authors' code
gives them when it exports them.

* Patches are cut and projected without a bias. The position table is for 128 × 128 patches; it is resized to a square
  of the longer side of the grid, bilinear without antialiasing, and what is over is cut off.
* Before the patches stand one class token for each teacher, then registers. There is no last norm.
* An adaptor is ``final(x)`` with ``x = fc1(token)``, ``x = x + block(x)``, each block LayerNorm, GELU and a linear
  layer, as is ``final``. There are two of them for a teacher: ``summary``, for the teacher's class token, and
  ``features``, for its patches.

An image is ``summary`` of the class token of the teacher, in the space of its texts. A patch is ``summary`` too, as
RayFronts (https://arxiv.org/abs/2504.06994) and RADSeg read it: ``features`` gives what the teacher's patches are
*before* its own pooling head, which is not compared with texts. ``"patches": "features"`` asks for that.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from timm.models.vision_transformer import Block as TimmViTBlock
from torch import Tensor, nn

from densevl.core.attention import Block
from densevl.core.errors import UsageError, WeightsError
from densevl.core.geometry import Size
from densevl.encoders.towers.headed import ModuleTower
from densevl.encoders.towers.timm import TimmBlock

__all__ = ["RadioAdaptor", "RadioTower", "build_radio_tower"]

PATCHES = ("summary", "features")
"""Adaptors that a patch may pass."""


class RadioAdaptor(nn.Module):
    """From a token of C-RADIO to one of a teacher.

    Args:
        width: of a token.
        hidden: width inside.
        dim: of the teacher's space.
        depth: number of blocks inside.
    """

    def __init__(self, width: int, hidden: int, dim: int, depth: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.blocks = nn.ModuleList(_layers(hidden, hidden) for _ in range(depth))
        self.final = _layers(hidden, dim)

    def forward(self, x: Float[Tensor, "*b c"]) -> Float[Tensor, "*b d"]:
        """The token in the space of the teacher."""
        x = self.fc1(x)
        for block in self.blocks:
            x = x + block(x)
        return self.final(x)


def _layers(width: int, to: int) -> nn.Sequential:
    return nn.Sequential(nn.LayerNorm(width), nn.GELU(), nn.Linear(width, to))


class RadioTower(ModuleTower):
    """The tower with the adaptor to one teacher.

    Args:
        width: of a token.
        heads: of each attention.
        depth: number of blocks.
        hidden: width inside the feed-forward layers.
        scaled: whether the blocks have layer scale.
        prefix: number of class tokens and registers.
        grid: side of the position table in patches.
        patch_size: side of a patch in pixels.
        size: (height, width) of whole images.
        summary: leads whole images to the joint space.
        features: leads to what the patches of the teacher are; None where the file has none.
        by_features: whether patches pass ``features`` and not ``summary``.
        token: index of the class token of the teacher.
        align_corners: how the position table is resized.
    """

    no_head = "C-RADIO has a head of its own; take a CLIP of open_clip, such as ViT-B-16"

    def __init__(
        self,
        width: int,
        heads: int,
        depth: int,
        hidden: int,
        scaled: bool,
        prefix: int,
        grid: int,
        patch_size: int,
        size: Size,
        summary: RadioAdaptor,
        features: RadioAdaptor | None,
        by_features: bool,
        token: int,
        align_corners: bool,
    ) -> None:
        super().__init__()
        self.width, self.depth, self.patch_size, self.prefix, self.size = width, depth, patch_size, prefix, size
        self.patches = nn.Linear(3 * patch_size**2, width, bias=False)
        self.positions = nn.Parameter(torch.zeros(1, grid**2, width))
        self.first = nn.Parameter(torch.zeros(prefix, width))
        self.blocks_of = nn.ModuleList(
            TimmViTBlock(width, heads, (hidden + 0.5) / width, qkv_bias=True, init_values=1.0 if scaled else None)
            for _ in range(depth)
        )
        for block in self.blocks_of:
            block.norm1.eps = block.norm2.eps = 1e-6  # type: ignore[union-attr,assignment]
        self.summary, self.features, self.by_features = summary, features, by_features
        self.token, self.grid, self.align_corners = token, grid, align_corners
        self.dim: int = summary.final[2].out_features  # type: ignore[assignment]

    @property
    def dtype(self) -> torch.dtype:
        """Dtype that images enter in."""
        return self.patches.weight.dtype

    def blocks_on(self, grid: Size, positions: str = "size") -> Sequence[Block]:
        """The blocks, first to last; places do not enter in them."""
        return [TimmBlock(block) for block in self.blocks_of]  # type: ignore[arg-type]

    def tokens(self, images: Float[Tensor, "b 3 H W"], positions: str = "size") -> tuple[Float[Tensor, "b n c"], Size]:
        """Class tokens, registers and patches that enter the first block, and the patch grid.

        Args:
            images: normalised; sides divisible by the patch size.
            positions: ``"size"``: the tower has its own way.

        Raises:
            UsageError: where another way to resize positions is asked for, or the grid is larger than the table.
        """
        if positions != "size":
            raise UsageError(f"C-RADIO has its own way to resize positions; leave out positions={positions!r}")
        side = self.patch_size
        grid = (images.shape[2] // side, images.shape[3] // side)
        cut = images.unflatten(3, (grid[1], side)).unflatten(2, (grid[0], side))
        x = self.patches(cut.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)) + self._positions(grid)
        return torch.cat([self.first.expand(len(x), -1, -1), x], dim=1), grid

    def _positions(self, grid: Size) -> Float[Tensor, "1 n c"]:
        table = self.positions.unflatten(1, (self.grid, self.grid)).permute(0, 3, 1, 2)
        longer = max(grid)
        table = F.interpolate(table.float(), (longer, longer), mode="bilinear", align_corners=self.align_corners)
        return table[..., : grid[0], : grid[1]].flatten(2).mT.to(self.positions.dtype)

    def to_joint(self, tokens: Float[Tensor, "b n c"]) -> Float[Tensor, "b n d"]:
        """Each token by itself in the joint space."""
        return self.features(tokens) if self.by_features and self.features is not None else self.summary(tokens)

    def pool(self, tokens: Float[Tensor, "b n c"]) -> Float[Tensor, "b d"]:
        """The class token of the teacher in its space."""
        return self.summary(tokens[:, self.token])


def build_radio_tower(
    config: Mapping[str, Any], embed_dim: int, state: Mapping[str, Tensor], quick_gelu: bool
) -> RadioTower:
    """The tower by ``width``, ``heads``, ``layers``, ``hidden``, ``prefix``, ``image_size``, ``token`` and ``patches``.

    Args:
        config: these keys, ``patch_size`` and ``grid`` where they are not 16 and 128, ``align_corners``, ``scaled``,
            and for weights that are new ``adaptor``: its width and its number of blocks.
        embed_dim: width of the joint space.
        state: what the tower will be filled with; the shapes of its adaptors are read from it.
        quick_gelu: not used.

    Raises:
        UsageError: where the adaptor of the patches is unknown, or leads to a space of another width.
        WeightsError: where the file holds no adaptor.
    """
    patches = config.get("patches", "summary")
    if patches not in PATCHES:
        raise UsageError(f"patches must be one of {', '.join(PATCHES)}; got {patches!r}")
    if state and "summary.fc1.weight" not in state:
        raise WeightsError(
            "this file of C-RADIO holds no adaptor to a teacher that reads texts; export it with one, such as siglip2-g"
        )
    width, side = config["width"], config["image_size"]
    new = (*config.get("adaptor", (width, 0)), embed_dim)
    summary = RadioAdaptor(width, *_shape(state, "summary", new))
    wanted = patches == "features"
    there = wanted or "features.fc1.weight" in state
    features = RadioAdaptor(width, *_shape(state, "features", new)) if there else None
    if wanted and features is not None and features.final[2].out_features != embed_dim:
        raise UsageError("the features of this teacher are not as wide as its texts; leave out patches=features")
    return RadioTower(
        width,
        config["heads"],
        config["layers"],
        config.get("hidden", 4 * width),
        "blocks_of.0.ls1.gamma" in state if state else config.get("scaled", False),
        config["prefix"],
        config.get("grid", 128),
        config.get("patch_size", 16),
        (side, side),
        summary,
        features,
        wanted,
        config["token"],
        config.get("align_corners", False),
    )


def _shape(state: Mapping[str, Tensor], name: str, new: tuple[int, int, int]) -> tuple[int, int, int]:
    """(width inside, width of the space, number of blocks) of an adaptor of a file, or of a new one."""
    if f"{name}.fc1.weight" not in state:
        return new[0], new[2], new[1]
    blocks = {key.split(".")[2] for key in state if key.startswith(f"{name}.blocks.")}
    return len(state[f"{name}.fc1.weight"]), len(state[f"{name}.final.2.weight"]), len(blocks)
