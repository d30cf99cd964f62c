"""Looks: how the examples of tuning are shown to the encoder that is tuned.

* :class:`CropLooks`: each region marked on its image, as :class:`densevl.regions.embedders.marked_images.MarkedImages`
  marks it; a crop of the whole image is the image. In a step a part of it is seen, or its mirror image.
* :class:`RegionLooks`: regions by any other region embedder, whose image is encoded in each step; dense features in
  masks are such, too.
* :class:`FrozenLooks`: a few looks at each example, made once, where the image tower is not tuned.

What is changed in an image is drawn by one number for each example, so that it depends neither on the number of
processes nor on where a run was interrupted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped, UInt8
from torch import Tensor
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms.functional import InterpolationMode, resized_crop
from tqdm import tqdm

from densevl.core.attention import run_block
from densevl.core.errors import UsageError
from densevl.core.images import read_image
from densevl.core.regions import RegionEmbeddings, Regions
from densevl.encoders.clip import CLIPEncoder
from densevl.encoders.contracts import Needs
from densevl.encoders.images import fit
from densevl.encoders.tuning.contracts import Look, moments
from densevl.regions.embedders.embedder import RegionEmbedder, on_device, space_of
from densevl.regions.embedders.marked_images import MarkedImages
from densevl.regions.visual_prompts import canvas, marked_by_each
from densevl.training.tuning.contracts import Looks
from densevl.training.tuning.views import changed

__all__ = ["CropLooks", "FrozenLooks", "RegionLooks", "Shown", "clip_of", "looks_of", "of_numbers"]

RATIO = (3 / 4, 4 / 3)
"""Least and greatest ratio of the sides of what is seen of an image."""

KEPT_BYTES = 2**30
"""Images that are kept in memory."""

TOGETHER = 32
"""Examples that are encoded together where their vectors are made once."""


@dataclass(frozen=True)
class Shown:
    """The regions of one image that are examples.

    Attributes:
        image: its file.
        regions: with masks where the embedder needs them.
        numbers: of which example each is.
    """

    image: Path
    regions: Regions
    numbers: Sequence[int]


def clip_of(embedder: RegionEmbedder) -> CLIPEncoder:
    """The encoder behind a region embedder, which is what is tuned.

    Raises:
        UsageError: where it is none that can be tuned.
    """
    encoder: Any = embedder.encoder
    inner = getattr(encoder, "encoder", encoder)  # that of a prompter stands inside of it
    if not isinstance(inner, CLIPEncoder):
        raise UsageError(
            f"tuning goes through a CLIP with a vision transformer, and {getattr(encoder, 'model_id', encoder)!r} is "
            "none; take a model such as clip or mini"
        )
    return inner


def of_numbers(shown: Sequence[Shown], chosen: Sequence[int]) -> list[Shown]:
    """The regions of some examples, which are numbered anew in the order in which they are chosen."""
    new = {number: place for place, number in enumerate(chosen)}
    found = []
    for one in shown:
        rows = [row for row, number in enumerate(one.numbers) if number in new]
        if rows:
            found.append(Shown(one.image, one.regions[rows], [new[one.numbers[row]] for row in rows]))
    return found


def looks_of(
    embedder: RegionEmbedder,
    shown: Sequence[Shown],
    tuned: bool,
    crop: tuple[float, float] | None = None,
    flip: bool = False,
    views: int = 1,
) -> Looks:
    """Looks at the examples of images by an embedder.

    Args:
        embedder: of the tuned encoder.
        shown: the examples, image by image.
        tuned: whether the image tower is.
        crop: least and greatest part of an image that is seen in a step; None for all of it.
        flip: show the mirror image half of the time.
        views: looks at each example that are made once, where the image tower is not tuned.
    """
    if isinstance(embedder, MarkedImages):
        looks: Looks = CropLooks(embedder, shown, crop, flip)
    else:
        looks = RegionLooks(embedder, shown, flip)
    return looks if tuned else FrozenLooks(looks, views)


class CropLooks:
    """Examples that are marked on their images.

    Args:
        embedder: says how.
        shown: the examples, image by image.
        crop: least and greatest part of a marked image that is seen in a step; None for all of it.
        flip: show the mirror image half of the time.
    """

    frozen: bool = False

    def __init__(
        self,
        embedder: MarkedImages,
        shown: Sequence[Shown],
        crop: tuple[float, float] | None = None,
        flip: bool = False,
    ) -> None:
        self.embedder, self.encoder, self.crop, self.flip = embedder, clip_of(embedder), crop, flip
        self.marked: list[dict[str, Shaped[Tensor, "3 h w"]]] = [{} for one in shown for _ in one.numbers]
        for one in tqdm(shown, desc="images", unit="image", delay=2, leave=False, disable=None):
            surface = canvas(torch.from_numpy(read_image(one.image)).permute(2, 0, 1), embedder.size, embedder.style)
            done = dict.fromkeys((prompt.name for prompt in embedder.visual_prompts), 0)
            for prompt, images in marked_by_each(surface, one.regions, embedder.visual_prompts, TOGETHER):
                for image in images:
                    self.marked[one.numbers[done[prompt.name]]][prompt.name] = image.cpu().clone()
                    done[prompt.name] += 1

    @property
    def space(self) -> str:
        """The vectors of the embedder."""
        return space_of(self.embedder)

    def __len__(self) -> int:
        return len(self.marked)

    def images(self, places: Sequence[int]) -> Float[Tensor, "b 3 H W"]:
        """Examples as the first way to mark them shows them, unchanged, at the size of the encoder."""
        name, size = next(iter(self.embedder.weights)), self.encoder.image_size
        pixels = [on_device(self.marked[place][name], torch.device("cpu"))[None] for place in places]
        return torch.cat([fit(one, size, "squash", self.encoder.interpolation) for one in pixels])

    def look(
        self, places: Sequence[int], seeds: Sequence[int | None], view: str | None = None, states: bool = False
    ) -> Look:
        """Look at some of the examples; see :class:`densevl.training.tuning.contracts.Looks`."""
        parts, tokens = {}, []
        for name in self.embedder.weights:
            seen = [self._seen(self.marked[place][name], seed, view) for place, seed in zip(places, seeds, strict=True)]
            if len({one.shape for one in seen}) > 1:
                raise UsageError(
                    f"{name} marks images of several sizes, which mode=keep does not make one; leave it out"
                )
            images = torch.stack(seen).to(self.encoder.device)
            vectors, found = _embedded(self.encoder, images, states)
            parts[name] = vectors
            tokens.append(found)
        vectors = RegionEmbeddings.of_parts(parts, self.encoder.model_id, self.embedder.weights).vectors
        return Look(vectors, tokens[0])

    def _seen(self, image: Shaped[Tensor, "3 h w"], seed: int | None, view: str | None) -> Float[Tensor, "3 H W"]:
        """What is seen of a marked image, at the size of the encoder."""
        pixels = on_device(image, torch.device("cpu"))
        size = (pixels.shape[1], pixels.shape[2]) if self.embedder.mode == "keep" else self.encoder.image_size
        if seed is None or view is not None:
            whole = fit(pixels[None], size, "squash", self.encoder.interpolation)
            return (whole if view is None else changed(whole, view, torch.Generator().manual_seed(seed or 0)))[0]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            top, left, height, width = 0, 0, pixels.shape[1], pixels.shape[2]
            if self.crop is not None:
                top, left, height, width = RandomResizedCrop.get_params(pixels, list(self.crop), list(RATIO))
            mirrored = self.flip and bool(torch.rand(()) < 0.5)
        seen = resized_crop(
            pixels, top, left, height, width, list(size), InterpolationMode.BICUBIC, antialias=True
        ).clamp(0, 1)
        return seen.flip(-1) if mirrored else seen


def _embedded(
    encoder: CLIPEncoder, images: Float[Tensor, "b 3 H W"], states: bool
) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b layers 2 c"] | None]:
    """Unit vectors of images of the native size and, where they are wanted, moments of tokens behind each block."""
    if not states:
        return encoder.embed_images(images, "squash" if images.shape[2:] == encoder.image_size else "keep"), None
    last = encoder.last_block(images, Needs(states=tuple(range(1, encoder.depth))))
    out = run_block(last.block, last.tokens)["out"]
    assert last.pool is not None
    found = torch.stack([moments(one) for one in (*(last.states[n] for n in range(1, encoder.depth)), out)], dim=1)
    return F.normalize(last.pool(out).float(), dim=1), found


class RegionLooks:
    """Examples as regions of images that are encoded in each step.

    Args:
        embedder: of the regions.
        shown: the examples, image by image.
        flip: show the mirror image half of the time.
    """

    frozen: bool = False

    def __init__(self, embedder: RegionEmbedder, shown: Sequence[Shown], flip: bool = False) -> None:
        self.embedder, self.flip, self.shown = embedder, flip, list(shown)
        self.where = {number: (place, row) for place, one in enumerate(shown) for row, number in enumerate(one.numbers)}
        self._images: dict[Path, UInt8[np.ndarray, "H W 3"]] = {}
        self._bytes = 0

    @property
    def space(self) -> str:
        """The vectors of the embedder."""
        return space_of(self.embedder)

    def __len__(self) -> int:
        return len(self.where)

    def look(
        self, places: Sequence[int], seeds: Sequence[int | None], view: str | None = None, states: bool = False
    ) -> Look:
        """Look at some of the examples; see :class:`densevl.training.tuning.contracts.Looks`.

        Raises:
            UsageError: where another view or tokens are asked for.
        """
        if view is not None or states:
            raise UsageError(
                "the method looks at images in another light or at tokens of the encoder, which regions of dense "
                "features have not; tune crops of regions: --embedder marked-images, or --for images"
            )
        groups: dict[tuple[int, bool], list[int]] = {}
        for order, (place, seed) in enumerate(zip(places, seeds, strict=True)):
            mirrored = self.flip and seed is not None and bool(np.random.default_rng(seed).random() < 0.5)
            groups.setdefault((self.where[place][0], mirrored), []).append(order)
        images, regions = [], []
        for (picture, mirrored), orders in groups.items():
            one = self.shown[picture]
            some = one.regions[[self.where[places[order]][1] for order in orders]]
            image = self._image(one.image)
            images.append(np.ascontiguousarray(image[:, ::-1]) if mirrored else image)
            regions.append(_mirrored(some) if mirrored else some)
        vectors = torch.cat([found.vectors for found in self.embedder.embed_batch(images, regions)]).float()
        places_of = torch.tensor([order for orders in groups.values() for order in orders], device=vectors.device)
        return Look(vectors[places_of.argsort()])

    def _image(self, path: Path) -> UInt8[np.ndarray, "H W 3"]:
        found = self._images.get(path)
        if found is None:
            found = read_image(path)
            if self._bytes + found.nbytes <= KEPT_BYTES:
                self._images[path], self._bytes = found, self._bytes + found.nbytes
        return found


def _mirrored(regions: Regions) -> Regions:
    left, top, right, bottom = regions.boxes.unbind(1)
    boxes = torch.stack([regions.size[1] - right, top, regions.size[1] - left, bottom], dim=1)
    return Regions(boxes, regions.size, None if regions.masks is None else regions.masks.flip(-1))


class FrozenLooks:
    """A few looks at each example, made once when they are first asked for.

    Args:
        looks: how they are made.
        views: of each example; the first is unchanged.
    """

    frozen: bool = True

    def __init__(self, looks: Looks, views: int = 1) -> None:
        self.looks, self.views = looks, views
        self._kept: dict[tuple[str | None, bool], list[Look]] = {}

    @property
    def space(self) -> str | None:
        """The vectors of the embedder."""
        return self.looks.space

    def __len__(self) -> int:
        return len(self.looks)

    def look(
        self, places: Sequence[int], seeds: Sequence[int | None], view: str | None = None, states: bool = False
    ) -> Look:
        """Look at some of the examples; see :class:`densevl.training.tuning.contracts.Looks`."""
        if (view, states) not in self._kept:
            self._kept[view, states] = self._made(view, states)
        kept = self._kept[view, states]
        chosen = [0 if seed is None else seed % len(kept) for seed in seeds]
        rows = list(zip(chosen, places, strict=True))
        vectors = torch.stack([kept[number].vectors[place] for number, place in rows])
        if not states:
            return Look(vectors)
        tokens = [one.states for one in kept]
        return Look(vectors, torch.stack([tokens[number][place].float() for number, place in rows]))  # type: ignore[index]

    @torch.no_grad()
    def _made(self, view: str | None, states: bool) -> list[Look]:
        found = []
        total = self.views * len(self)
        with tqdm(total=total, desc="encoding", unit="view", delay=2, leave=False, disable=None) as progress:
            for number in range(self.views):
                parts = []
                for start in range(0, len(self), TOGETHER):
                    places = range(start, min(start + TOGETHER, len(self)))
                    seeds = [None if number == 0 and view is None else place * self.views + number for place in places]
                    parts.append(self.looks.look(places, seeds, view, states))
                    progress.update(len(places))
                tokens = [one.states.half() for one in parts if one.states is not None]
                found.append(Look(torch.cat([one.vectors for one in parts]), torch.cat(tokens) if tokens else None))
        return found
