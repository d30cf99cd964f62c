"""Headers of the files of an index: model, images and format as texts by name, which both formats keep."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from densevl.core.errors import UsageError
from densevl.core.files import parse_json
from densevl.tasks.search.image_table import ImageTable
from densevl.tasks.search.part import Part
from densevl.tasks.search.stores import STORES, Stored, coded, store_of

__all__ = ["checked_part", "damaged", "header", "read_header"]

FORMAT, WITH_STORE = "densevl region index 1", "densevl region index 2"
"""The format of files with vectors of float32, which is the oldest one, and that of files which name their store."""


def header(part: Part) -> dict[str, str]:
    """The header of a part."""
    images = [[image.path, *image.size, *image.state] for image in part.images]
    store = store_of(part.vectors)
    return {
        **({"format": FORMAT} if store == "float32" else {"format": WITH_STORE, "store": store}),
        "model_id": part.model_id,
        "model": json.dumps(part.model, ensure_ascii=False, sort_keys=True),
        "images": json.dumps(images, ensure_ascii=False),
        "digest": part.compute_digest(),
    }


def read_header(texts: Mapping[str, str], path: Path) -> dict[str, Any]:
    """Model and images of a part, as arguments of :class:`Part`.

    Raises:
        UsageError: where they are not those of an index, or of a later version of densevl.
    """
    found = texts.get("format")
    if found not in (FORMAT, WITH_STORE):
        raise UsageError(f"{path} is no region index (its format is {found!r}, expected {FORMAT!r} or {WITH_STORE!r})")
    try:
        images = ImageTable(parse_json(texts["images"]), path.parent)
        model = dict(parse_json(texts["model"]))
        return {"model_id": texts["model_id"], "model": model, "images": images, "digest": texts["digest"]}
    except (KeyError, ValueError, TypeError, IndexError, OverflowError) as error:
        raise damaged(path, error) from None


def checked_part(
    path: Path,
    image_rows: Int64[Tensor, " n"],
    boxes: Float32[Tensor, "n 4"],
    scores: Float32[Tensor, " n"],
    vectors: Stored,
    masks: Any,
    facts: Mapping[str, Any],
    store: str = "float32",
) -> Part:
    """A part from what was read.

    Args:
        path: of the file.
        image_rows: of :class:`Part`.
        boxes: of :class:`Part`.
        scores: of :class:`Part`.
        vectors: as the file keeps them.
        masks: of :class:`Part`.
        facts: what :func:`read_header` gave.
        store: the one that the header names.

    Raises:
        UsageError: where its pieces do not belong together.
    """
    kept = coded(vectors, slice(0, 0))[0].dtype
    if STORES.get(store) != kept or (store == "int8") != (vectors.scales is not None):
        raise damaged(path, f"vectors of {kept}, where its header says {store!r}")
    if vectors.scales is not None and not (vectors.scales.isfinite() & (vectors.scales > 0)).all():
        raise damaged(path, "a scale that is not positive")
    rows = {
        len(image_rows),
        len(boxes),
        len(scores),
        int(vectors.shape[0]),
        *([] if masks is None else [len(masks)]),
        *([] if vectors.scales is None else [len(vectors.scales)]),
    }
    if len(rows) != 1:
        raise damaged(path, f"lengths {sorted(rows)} of what describes the same regions")
    if len(image_rows) and not (int(image_rows.min()) >= 0 and int(image_rows.max()) < len(facts["images"])):
        raise damaged(path, "a region of an image that is not in the list")
    if not torch.isfinite(boxes).all():
        raise damaged(path, "a box that is not finite")
    sizes = torch.from_numpy(facts["images"].sizes).flip(1).float()
    ends = sizes[image_rows.long()] + 1  # a box of rounded corners may end a pixel behind its image
    if not ((boxes[:, :2] > -1) & (boxes[:, :2] < boxes[:, 2:]) & (boxes[:, 2:] <= ends)).all():
        raise damaged(path, "a box that is empty or outside its image")
    return Part(image_rows=image_rows, boxes=boxes, scores=scores, vectors=vectors, masks=masks, **facts)


def damaged(path: Path, reason: object) -> UsageError:
    """The error of a file that cannot be read."""
    return UsageError(
        f"the index file {path} is damaged or cut off ({reason}); delete it and run `densevl embed` again, "
        "which embeds again what is missing"
    )
