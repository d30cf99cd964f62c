"""Training images from a folder: drawn once, seen in another crop each epoch.

What is seen of an image depends on the seed, the epoch and the image alone, not on the process that loads it nor on
what was loaded before; so a resumed training sees what an uninterrupted one would have seen, with any number of
workers. Where we differ from the reference code of CLIP-DINOiser: no image is drawn twice, and images are scaled
down with antialiasing.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from mmengine.dataset import DefaultSampler
from mmengine.logging import print_log
from mmengine.registry import DATA_SAMPLERS, DATASETS
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from densevl.core.errors import ImageError, UsageError
from densevl.core.files import expand_inputs
from densevl.core.geometry import resized_size
from densevl.core.images import read_image

__all__ = ["EpochSampler", "ImageFolder"]

LISTED = 5
"""Number of unreadable files that a message names."""


@DATASETS.register_module()
class ImageFolder(Dataset):
    """Images of a folder, each as a random square crop with a random flip and brightness.

    The images are drawn without repetition from all below the folder, by the seed; each is read once beforehand, and
    those that cannot be read are left out, with a warning that counts and names them, and replaced by the next drawn.

    Args:
        root: folder, with all folders below it, or a glob.
        count: how many images to draw; None takes all.
        size: side of the crops in pixels, to which the short side of an image is brought first.
        brightness: greatest change of brightness: the factor lies between 1 - brightness and 1 + brightness.
        seed: of the draw and of the crops.

    Raises:
        UsageError: where the folder is missing or holds fewer readable images than wanted.
    """

    def __init__(
        self, root: str | Path, count: int | None = 1000, size: int = 448, brightness: float = 0.5, seed: int = 0
    ) -> None:
        if count is not None and count < 1:
            raise UsageError(f"count: a training needs at least one image; got {count}")
        self.size, self.brightness, self.seed = size, brightness, seed
        files = [file.path for file in expand_inputs([root])]
        order = np.random.default_rng(seed).permutation(len(files))
        self.files = _readable([files[i] for i in order], count, str(root))

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        """An image as (3, size, size) uint8.

        Args:
            number: index of the image, plus the length of the data set times the epoch, as :class:`EpochSampler`
                gives it.
        """
        epoch, index = divmod(number, len(self))
        rng = np.random.default_rng([self.seed, epoch, index])
        crop = _crop(read_image(self.files[index]), self.size, self.brightness, rng)
        return {"images": torch.from_numpy(crop).permute(2, 0, 1).contiguous()}


def _crop(
    image: UInt8[np.ndarray, "H W 3"], size: int, brightness: float, rng: np.random.Generator
) -> UInt8[np.ndarray, "size size 3"]:
    """Short side to the size (bilinear with antialiasing), then a random crop, flip and brightness."""
    height, width = resized_size(image.shape[:2], size, long_side=10 * max(size, *image.shape[:2]))
    resized = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
    top, left = (int(rng.integers(side - size + 1)) for side in (height, width))
    crop = np.asarray(resized)[top : top + size, left : left + size]
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    factor = rng.uniform(max(0.0, 1 - brightness), 1 + brightness)
    return np.rint(np.clip(crop * factor, 0, 255)).astype(np.uint8)


def _readable(files: list[Path], count: int | None, root: str) -> list[Path]:
    """The first ``count`` files that can be read; the others are logged."""
    wanted = len(files) if count is None else count
    good: list[Path] = []
    bad: list[str] = []
    with tqdm(total=min(wanted, len(files)), desc="checking images", delay=2, leave=False, disable=None) as progress:
        for file in files:
            if len(good) == wanted:
                break
            try:
                read_image(file)
            except ImageError as error:
                bad.append(str(error))
                continue
            good.append(file)
            progress.update()
    named = "; ".join(bad[:LISTED]) + (f"; and {len(bad) - LISTED} more" if len(bad) > LISTED else "")
    if not good or (count is not None and len(good) < count):
        raise UsageError(
            f"{root} holds {len(good)} images that can be read and {count or 1} are wanted; name a larger folder, "
            f"or lower the number: train_dataloader.dataset.count={max(len(good), 1)}"
            + (f". {len(bad)} could not be read: {named}" if bad else "")
        )
    if bad:
        print_log(f"{len(bad)} images of {root} cannot be read and are left out: {named}", "current", level=30)
    return good


@DATA_SAMPLERS.register_module()
class EpochSampler(DefaultSampler):
    """MMEngine's sampler, giving each index plus the length of the data set times the epoch.

    So the data set knows the epoch, also in a worker process.
    """

    def __iter__(self) -> Iterator[int]:
        offset = self.epoch * len(self.dataset)
        return iter([index + offset for index in super().__iter__()])
