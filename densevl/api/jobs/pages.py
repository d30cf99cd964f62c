"""Pages of what was found, for any browser: regions of expressions, and hits of searches.

The page itself is the matter of :mod:`densevl.core.drawing.page`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8

from densevl.core.drawing.page import (
    Item,
    Legend,
    Page,
    Picture,
    Region,
    Table,
    write_picture,
    write_regions,
)
from densevl.core.errors import ImageError
from densevl.core.images import read_image
from densevl.core.masks import decode_masks
from densevl.core.palette import palette
from densevl.tasks.grounding.grounding import Grounding
from densevl.tasks.search import Hit, IndexedImage

__all__ = ["write_refer_page", "write_search_page"]


def write_refer_page(
    out: Path,
    name: str,
    image: UInt8[np.ndarray, "H W 3"],
    found: Sequence[Grounding],
    note: str,
    top: int = 5,
) -> Path:
    """Write a page of expressions: their best regions on the image, and a table of all regions.

    Args:
        out: the folder.
        name: of the image.
        image: the image.
        found: the expressions with their regions, ranked.
        note: a line below the title.
        top: regions that are drawn.

    Returns:
        The file of the page.

    Raises:
        OutputError: where it cannot be written.
    """
    picture, size = write_picture(out, name, image), (image.shape[0], image.shape[1])
    items, rows = [], []
    for number, grounding in enumerate(found):
        regions = [_ranked(grounding, rank) for rank in range(min(top, len(grounding.ranking)))]
        link = write_regions(out, f"{name}.{number + 1}", size, regions[::-1])
        items.append(Item(grounding.expression, picture, {"regions": link}, "doubtful" if grounding.doubtful else ""))
        for rank, index in enumerate(grounding.ranking, 1):
            box = ", ".join(f"{value:.0f}" for value in grounding.regions.boxes[index].tolist())
            score, probability = (float(values[index]) for values in (grounding.scores, grounding.probabilities))
            rows.append((number, rank, probability, f"({box})", score))
    columns = (
        ("expression", "item"),
        ("rank", "number"),
        ("probability", "share"),
        ("box", "text"),
        ("score", "number"),
    )
    drawn = max((min(top, len(grounding.ranking)) for grounding in found), default=0)
    groups = [Legend(str(rank), colour) for rank, colour in enumerate(palette(drawn + 1)[1:], 1)]
    table = Table("Regions", columns, rows)
    return Page(name, note, "Ranks", groups, items, [table], layers=("regions",), areas=False).write(out)


def _ranked(grounding: Grounding, rank: int) -> Region:
    index = grounding.ranking[rank]
    x0, y0, x1, y1 = grounding.regions.boxes[index].tolist()
    mask = None if grounding.regions.masks is None else grounding.regions.masks[index].cpu().numpy()
    return Region(rank, (x0, y0, x1, y1), f"{rank + 1} · {100 * float(grounding.probabilities[index]):.1f} %", mask)


def write_search_page(out: Path, found: Mapping[str, Sequence[Hit]], note: str) -> Path:
    """Write a page of searches: the hits of each query in their images, and a table of them.

    Images that are missing or have changed are in the table alone.

    Args:
        out: the folder.
        found: hits of each query, the best first.
        note: a line below the title.

    Returns:
        The file of the page.

    Raises:
        OutputError: where it cannot be written.
    """
    pictures: dict[IndexedImage, Picture | None] = {}
    items, rows = list[Item](), list[tuple[str | int | float | None, ...]]()
    for query, hits in enumerate(found.values()):
        for rank, hit in enumerate(hits, 1):
            path, shown = hit.image.path, None
            if hit.image not in pictures:
                pictures[hit.image] = _picture(out, f"{len(pictures) + 1}/{Path(path).stem}", hit.image)
            picture = pictures[hit.image]
            if picture is not None:
                region = Region(query, hit.box, f"{rank} · {hit.score:.3f}", _mask(hit))
                link = write_regions(out, f"{query + 1}/{rank}", hit.image.size, [region])
                detail = f"{rank} · {hit.score:.3f} · {list(found)[query]}"
                items.append(Item(Path(path).name, picture, {"regions": link}, detail, (hit.score,)))
                shown = len(items) - 1
            box = ", ".join(f"{value:.0f}" for value in hit.box)
            rows.append((query, rank, hit.score, shown, path, f"({box})"))
    columns = (
        *(("query", "group"), ("rank", "number"), ("score", "number")),
        *(("picture", "item"), ("image", "text"), ("box", "text")),
    )
    colours = palette(len(found) + 1)[1:]
    groups = [
        Legend(query, colour, str(len(hits))) for (query, hits), colour in zip(found.items(), colours, strict=True)
    ]
    title, table = ", ".join(found), Table("Hits", columns, rows)
    page = Page(title, note, "Queries", groups, items, [table], ("regions",), ("score",), areas=False)
    return page.write(out)


def _picture(out: Path, name: str, indexed: IndexedImage) -> Picture | None:
    """The picture of an image; None where it is missing or has changed."""
    try:
        image = read_image(indexed.path)
    except ImageError:
        return None
    return write_picture(out, name, image) if image.shape[:2] == tuple(indexed.size) else None


def _mask(hit: Hit) -> Bool[np.ndarray, "H W"] | None:
    if not hit.mask:
        return None
    height, width = hit.image.size
    return decode_masks([{"size": [height, width], "counts": hit.mask}], (height, width))[0].numpy()
