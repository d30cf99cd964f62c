"""From images to dense features: an encoder, the readout of its last block and the refiners, put together once."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from densevl.core.errors import UsageError
from densevl.core.features import DenseFeatures, TextEmbeddings
from densevl.core.geometry import Extent, Size
from densevl.core.gradients import frozen
from densevl.core.registry import build
from densevl.dense.contracts import Read, Readout, Refiner
from densevl.dense.operations.regions import stitch, within
from densevl.dense.readouts import READOUTS
from densevl.dense.refiners import REFINERS
from densevl.dense.stack import StackRefiner
from densevl.encoders import ENCODERS
from densevl.encoders.contracts import DENSE_BORDERS, NOTHING, POSITIONS, Encoder, LastBlock, Needs, Window, join_needs
from densevl.encoders.images import continued
from densevl.weights.opened import random_seed

__all__ = ["DenseEncoder", "read_dense"]


class DenseEncoder(nn.Module):
    """Dense features of images: encoder, readout and refiners.

    Args:
        encoder: a built encoder, or its config.
        readout: how the last block is read: a built readout, its config, or its name.
        refiners: modules that map dense features to dense features, in order; built, or their configs.
        positions: how the position embedding is resized, one of :data:`densevl.encoders.contracts.POSITIONS`.
        border: what becomes of sides that are no multiple of the patch, one of
            :data:`densevl.encoders.contracts.DENSE_BORDERS`.

    Raises:
        UsageError: where a setting is unknown, or the encoder embeds no patches.
        WeightsError: where a refiner was made for another encoder.
    """

    def __init__(
        self,
        encoder: Encoder | Mapping[str, Any],
        readout: Readout | Mapping[str, Any] | str = "maskclip",
        refiners: Sequence[Refiner | Mapping[str, Any]] = (),
        positions: str = "size",
        border: str = "black",
    ) -> None:
        super().__init__()
        for name, value, known in (("positions", positions, POSITIONS), ("border", border, DENSE_BORDERS)):
            if value not in known:
                raise UsageError(f"{name} must be one of {', '.join(known)}; got {value!r}")
        built = build(ENCODERS, encoder)
        if not isinstance(built, Encoder):
            raise UsageError(f"encoder {type(built).__name__} embeds no patches; take one such as `clip`")
        self.encoder: Encoder = built
        if readout is None:
            raise UsageError(f"readout must be one of {', '.join(READOUTS.names)}; got None")
        self.readout: Readout = build(READOUTS, readout)
        if hasattr(self.readout, "check"):  # of one that is not for every encoder
            self.readout.check(self.encoder)
        self.refiners = nn.ModuleList(build(REFINERS, _of_width(refiner, built.width)) for refiner in refiners)
        for refiner in self._refiners:
            refiner.check(self.encoder)
        self.positions, self.border = positions, border

    @property
    def _refiners(self) -> list[Any]:
        """The refiners; a module list forgets that they keep the contract."""
        return list(self.refiners)

    @property
    def _makes_keys(self) -> bool:
        """True where a refiner makes keys, so that the encoder need not; one of convolutions has none."""
        return any(getattr(refiner, "makes_keys", False) for refiner in self._refiners)

    @property
    def needs(self) -> Needs:
        """The needs of readout and refiners together."""
        return join_needs([self.readout.needs, *(refiner.needs for refiner in self._refiners)])

    @property
    def finds_foreground(self) -> bool:
        """True where a refiner separates things from background."""
        return any(refiner.finds_foreground for refiner in self._refiners)

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.encoder.device

    @property
    def stack(self) -> str | None:
        """The name of the feature stack that its features are of; None where they lie in the joint space."""
        return next((refiner.space for refiner in self._refiners if isinstance(refiner, StackRefiner)), None)

    @property
    def protocol(self) -> dict[str, Any]:
        """Everything that decides the features, for reports: JSON values only."""
        return {
            "encoder": self.encoder.model_id,
            "readout": self.readout.name,
            "refiners": [refiner.name for refiner in self._refiners],
            "positions": self.positions,
            "border": self.border,
        }

    @frozen
    def last_block(self, images: Float[Tensor, "b 3 H W"], needs: Needs = NOTHING) -> LastBlock:
        """The last block of images of one size, as a readout gets it but for windows and texts.

        Args:
            images: RGB in [0, 1].
            needs: what is needed beside the tokens.
        """
        return _last_block(self.encoder, images, needs, self.positions, self.border)[0]

    @frozen
    def forward(
        self,
        images: Float[Tensor, "b 3 H W"],
        keys: bool = False,
        windows: Sequence[Window] | None = None,
        texts: TextEmbeddings | None = None,
        regions: Int[Tensor, "b H W"] | None = None,
    ) -> DenseFeatures:
        """Dense features of images of one size; maps of earlier blocks are let go.

        Args:
            images: RGB in [0, 1].
            keys: also return the keys of the last attention, or those that a refiner makes.
            windows: boxes of the images in the image that they were all cut from, where readout or refiners need it.
            texts: the vocabulary, where they need it.
            regions: the region of each pixel, below 0 for none, where they need it; the features carry it.

        Raises:
            UsageError: where a need is not met, or the images have another layout.
        """
        features = read_dense(
            self.encoder,
            images,
            self.readout,
            join_needs([*(refiner.needs for refiner in self._refiners), Needs(keys=keys and not self._makes_keys)]),
            positions=self.positions,
            border=self.border,
            windows=windows,
            texts=texts,
            regions=regions,
        )
        if self._refiners and len(features.grid) != len(images):
            raise UsageError(
                f"{self.readout.name} makes one map of all windows, which refiners do not know; leave them"
            )
        if self.border != "black":  # refiners see what the encoder sees
            images, _ = continued(images, self.encoder.patch_size, self.border, getattr(self.encoder, "mean", None))
        for refiner in self._refiners:
            features = refiner(features, images if refiner.needs.images else None)
        return replace(features, maps={})

    @frozen
    def summarise(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b c"]:
        """The summaries of images of one size that :meth:`forward` puts into their features, and nothing else.

        Raises:
            UsageError: where the encoder has no block in the middle.
        """
        names = _middle(self.encoder)
        last = self.encoder.last_block(images, Needs(maps=names), positions=self.positions, border=self.border)
        summary = _summary(last, names)
        if summary is None:
            raise UsageError(
                f"encoder {self.encoder.model_id!r} shows no block in its middle to tell kinds of images by"
            )
        return summary


def _middle(encoder: Encoder) -> tuple[str, ...]:
    """The name of the map of the block in the middle; none for an encoder of one block."""
    return () if encoder.depth < 2 else (f"blocks.{encoder.depth // 2 - 1}",)


def _summary(last: LastBlock, names: tuple[str, ...]) -> Float[Tensor, "b c"] | None:
    """The mean over the patches of a map; None where there is none."""
    found = [last.maps[name].flatten(2).float().mean(2) for name in names if name in last.maps]
    return found[0] if found else None


def _of_width(refiner: Any, width: int) -> Any:
    """A refiner's config in which random weights have the width of the encoder."""
    drawn = isinstance(refiner, Mapping) and random_seed(refiner.get("weights")) is not None
    return {"width": width, **refiner} if drawn else refiner


@frozen
def read_dense(
    encoder: Encoder,
    images: Float[Tensor, "b 3 H W"],
    readout: Readout,
    needs: Needs = NOTHING,
    *,
    positions: str = "size",
    border: str = "black",
    windows: Sequence[Window] | None = None,
    texts: TextEmbeddings | None = None,
    regions: Int[Tensor, "b H W"] | None = None,
) -> DenseFeatures:
    """Dense features of images of one size, with maps and keys that are needed.

    Args:
        encoder: embeds patches.
        images: RGB in [0, 1].
        readout: how its last block is read.
        needs: of others beside the readout, such as refiners.
        positions: how the position embedding is resized.
        border: what becomes of sides that are no multiple of the patch.
        windows: boxes of the images in the image that they were all cut from.
        texts: the vocabulary that the features shall serve.
        regions: the region of each pixel of the images, below 0 for none; the features carry it.

    Raises:
        UsageError: where windows, texts or regions are needed and were not given.
    """
    of_others, needs = needs, join_needs([readout.needs, needs])
    if needs.windows and windows is None:
        raise UsageError(f"{readout.name} needs all windows of an image together, with their boxes; none were given")
    if needs.texts and texts is None:
        raise UsageError(f"{readout.name} needs the texts while it encodes; encode the image together with its classes")
    if needs.regions and regions is None:
        raise UsageError(f"{readout.name} reads the regions of the image; give its model a mask_maker, such as sam")
    middle = _middle(encoder)
    wanted = join_needs([needs, Needs(maps=middle)])
    last, extent = _last_block(encoder, images, wanted, positions, border)
    summary = _summary(last, middle)
    last = replace(
        last,
        maps={name: found for name, found in last.maps.items() if name in needs.maps},
        windows=windows if needs.windows else None,
        texts=texts if needs.texts else None,
        extent=extent,
        regions=None if regions is None or not needs.regions else within(regions, extent),
    )
    read = readout(last)
    if not isinstance(read, Read):
        read = Read(read)
    grid = read.grid if read.joint else encoder.to_joint(read.grid.flatten(2).mT).mT.unflatten(2, read.grid.shape[2:])
    if read.spliced:
        if of_others.maps or of_others.keys:
            raise UsageError(
                f"{readout.name} makes one map of all windows, without maps and keys; leave what needs them"
            )
        extent = _whole(windows or ())
        summary = None if summary is None else summary.mean(0, keepdim=True)
        regions = None if regions is None or windows is None else stitch(regions, windows)[None]
    keys = last.keys() if needs.keys else None
    cells = (grid.shape[2], grid.shape[3])
    if keys is not None and not read.spliced and cells != last.grid:
        keys = F.interpolate(keys, cells, mode="bilinear", align_corners=False)
    patch = encoder.patch_size if cells == last.grid else max(1, round((extent[3] - extent[1]) / cells[0]))
    even = border == "black" and not read.spliced and (cells == last.grid or _of_patches(cells, patch, extent))
    return DenseFeatures(
        grid,
        patch,
        encoder.model_id,
        keys,
        {} if read.spliced else last.maps,
        summary=summary,
        extent=None if even else extent,
        whole=read.whole,
        regions=regions if read.regions is None else read.regions,
        attention=read.attention,
    )


def _last_block(
    encoder: Encoder, images: Float[Tensor, "b 3 H W"], needs: Needs, positions: str, border: str
) -> tuple[LastBlock, Extent]:
    """The last block of images that are continued as the border says, and what its grid covers of them."""
    seen, extent = continued(images, encoder.patch_size, border, getattr(encoder, "mean", None))
    border = "drop" if border == "centre56" else border
    return encoder.last_block(seen, needs, positions=positions, border=border), extent


def _whole(windows: Sequence[Window]) -> Extent:
    """The image that windows were cut from."""
    return 0, 0, max(window[2] for window in windows), max(window[3] for window in windows)


def _of_patches(cells: Size, patch: int, extent: Extent) -> bool:
    """True where cells are patches of whole pixels from the upper left corner on."""
    return extent == (0, 0, cells[1] * patch, cells[0] * patch)
