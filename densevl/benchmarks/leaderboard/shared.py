"""One encoder for several heads: a pass up to the last block is run once for the same pixels, and charged to each.

Heads are compared by quality and by cost. So that a head costs what it would by itself, whoever takes what another has
already made is charged the seconds that it took to make.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from densevl.dense.guides.kept import Kept
from densevl.encoders.contracts import NOTHING, Encoder, LastBlock, Needs, join_needs
from densevl.tasks.segmentation.segmentor import Segmentor

__all__ = ["SharedEncoder", "share_encoders"]


class SharedEncoder(nn.Module):
    """An encoder whose passes up to the last block are kept, with everything that one of its heads needs of them.

    Args:
        encoder: what is shared.
        needs: of all heads that share it, together.
        kept: where passes are kept; somebody clears it after each image.
    """

    def __init__(self, encoder: Encoder, needs: Needs, kept: Kept) -> None:
        super().__init__()
        self.encoder, self.needs, self.kept = encoder, needs._replace(guide=None), kept

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("encoder"), name)

    def last_block(
        self,
        images: Float[Tensor, "b 3 H W"],
        needs: Needs = NOTHING,
        *,
        positions: str = "size",
        border: str = "black",
    ) -> LastBlock:
        """Run images up to the last block, or take the pass that was kept; a guide is asked for by itself."""
        wanted = join_needs([self.needs, needs._replace(guide=None)])
        last: LastBlock = self.kept.get(
            (id(self.encoder), positions, border, wanted),
            images,
            lambda: self.encoder.last_block(images, wanted, positions=positions, border=border),
        )
        return last if needs.guide is None else replace(last, guide=needs.guide(images))


def share_encoders(segmentors: Sequence[Any], kept: Kept) -> int:
    """Give segmentors on the same weights one encoder, where they read its last block alone.

    Args:
        segmentors: built ones, on one device.
        kept: where passes are kept.

    Returns:
        Number of segmentors that share an encoder with another.
    """
    groups: dict[tuple[Any, ...], list[Segmentor]] = {}
    for one in segmentors:
        if type(one) is Segmentor and one.blend is None:
            groups.setdefault((type(one.encoder), one.encoder.model_id, one.encoder.dtype), []).append(one)
    several = [group for group in groups.values() if len(group) > 1]
    for group in several:
        shared = SharedEncoder(group[0].encoder, join_needs([one.dense.needs for one in group]), kept)
        for one in group:
            one.dense.encoder = shared
    return sum(map(len, several))
