"""Training regions from a file in the format of COCO: boxes with category names or with phrases of their own.

COCO, LVIS, Objects365 and Visual Genome, where these are in that format. Captions of the whole images come from a file
in the format of COCO's ``captions_train2017.json``.
"""

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.registry import DATASETS

from densevl.core.errors import ImageError, UsageError
from densevl.core.files import read_json
from densevl.core.images import read_image
from densevl.datasets.regions.annotations import AnnotatedImage, find_image, read_annotations
from densevl.datasets.training.visits import Visit, VisitedRegions, in_template, whole

__all__ = ["CocoRegionTexts", "read_captions"]


@DATASETS.register_module()
class CocoRegionTexts(VisitedRegions):
    """Images of a COCO file with the names, or the phrases, of their boxes.

    Crowds and boxes without area are left out, as in the evaluations. Of several captions of an image one is drawn at
    each visit. Boxes are kept as numbers in two tensors, which the worker processes share.

    Args:
        data_root: folder that holds annotations and images.
        annotations: the file, below ``data_root`` or anywhere. Where an annotation has a ``phrase``, ``text`` or
            ``caption``, that is its text; otherwise the name of its category is.
        image_folder: folder of the images below ``data_root``.
        captions: the file of captions, below ``data_root`` or anywhere; None for no captions.
        side: of the padded images in pixels; that of the encoder.
        templates: name of the templates of which one is drawn for each text; ``"none"`` leaves the names as they
            are, as the paper does.
        masks: give the masks of the boxes too; an image with a box that has none gives none.
        bare: keep images that have no region but a caption: they count in L_CLIP alone.
        seed: of what is drawn.
        indices: use the first so many images only.
        failures: JSON lines of the images that could not be used; None for the log alone.

    Raises:
        UsageError: where the annotations or the captions cannot be used, or not one of the images is there.
    """

    def __init__(
        self,
        data_root: str,
        annotations: str = "annotations/instances_train2017.json",
        image_folder: str = "train2017",
        captions: str | None = None,
        side: int = 224,
        templates: str = "none",
        masks: bool = False,
        bare: bool = False,
        seed: int = 0,
        indices: int | None = None,
        failures: str | None = None,
    ) -> None:
        root = Path(data_root).expanduser()
        file = root / annotations
        super().__init__(str(file), side, seed, failures, masks)
        if indices is not None and indices < 1:
            raise UsageError(f"indices must be a number of images, at least 1, or None for all; got {indices}")
        in_template((), templates, np.random.default_rng())
        self.templates = templates
        known = {} if captions is None else read_captions(root / captions)
        found = read_annotations(file, bare=bare, masks=masks)
        images = [image for image in found.images if image.regions or image.image_id in known][:indices]
        self.texts, self.skipped = found.texts, found.skipped
        self.captions = tuple(tuple(known.get(image.image_id, ())) for image in images)
        self.sizes = tuple(image.size for image in images)
        regions = [region for image in images for region in image.regions]
        self._boxes = torch.tensor([region.box for region in regions], dtype=torch.float32).reshape(-1, 4)
        self._truths = torch.tensor([region.truth for region in regions], dtype=torch.int32)
        self._codes = tuple(region.mask for region in regions) if masks else ()
        self._ends = torch.tensor([len(image.regions) for image in images]).cumsum(0)
        self._paths = self._find(images, root, image_folder)

    def _find(self, images: list[AnnotatedImage], root: Path, folder: str) -> tuple[str, ...]:
        """The files; those that are not there are logged when they are read, unless all are missing."""
        paths = [find_image(image.file_name, root, folder) for image in images]
        if not any(path.is_file() for path in paths):
            raise UsageError(
                f"{self.left_out.source}: not one of the {len(paths)} images is there, such as {images[0].file_name}; "
                f"looked in {root / folder} and {root}; set data_root and image_folder"
            )
        return tuple(map(str, paths))

    def __len__(self) -> int:
        return len(self._paths)

    def name(self, index: int) -> str:
        """The file of an image."""
        return self._paths[index]

    def read(self, index: int, rng: np.random.Generator) -> Visit:
        """An image with its boxes, their texts and one of its captions.

        Raises:
            ImageError: where it cannot be read, or has another size than its boxes were drawn on.
        """
        image, size = read_image(self._paths[index]), self.sizes[index]
        if size is not None and image.shape[:2] != tuple(size):
            raise ImageError(f"{self._paths[index]} has {image.shape[:2]} pixels, the annotations say {size}")
        rows = slice(int(self._ends[index - 1]) if index else 0, int(self._ends[index]))
        texts = [self.texts[truth] for truth in self._truths[rows].tolist()]
        captions = self.captions[index]
        caption = captions[rng.integers(len(captions))] if captions else None
        boxes, codes = self._boxes[rows].clone(), self._codes[rows]
        masks = whole(codes) if self.masks else None
        return Visit(image, boxes, in_template(texts, self.templates, rng), caption, masks)


def read_captions(path: str | Path) -> dict[Any, list[str]]:
    """The captions of each image id, from a file of COCO's layout or the bare list of its annotations.

    Raises:
        UsageError: where the file is missing or of another layout.
    """
    data = read_json(path)
    entries: Any = data.get("annotations") if isinstance(data, dict) else data
    captions: dict[Any, list[str]] = defaultdict(list)
    try:
        for entry in entries:
            text = " ".join(entry["caption"].split())
            if text:
                captions[entry["image_id"]].append(text)
    except (KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path} does not hold captions ({type(error).__name__}: {error}); expected the layout of COCO's "
            "captions_train2017.json"
        ) from None
    return dict(captions)
