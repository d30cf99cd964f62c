"""Options of the formats that results are written in."""

import argparse

from densevl.cli.options import add_html_option, natural
from densevl.core.errors import UsageError, suggestion

__all__ = ["add_save_options", "chosen_formats"]


def add_save_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of formats and instances; what is not given stays as it is in a folder that has results."""
    parser.add_argument(
        "--save",
        metavar="FORMAT,…",
        help="what is written: overlay, labels, probabilities, geotiff, coco, polygons, coco-panoptic, yolo-seg, "
        "labelme, labelme-embedded, label-studio, cvat, html (default: what the folder has, or overlay,labels,coco; "
        "labels,coco of more than 100 images)",
    )
    add_html_option(parser)
    parser.add_argument(
        "--instances",
        choices=["none", "connected", "masks"],
        help="one mask for each class (none), connected part of a class (connected), or thing that the model's mask "
        "maker sees (masks) (default: none)",
    )
    parser.add_argument(
        "--min-area",
        type=natural,
        metavar="PX",
        help="leave out connected parts and things with fewer pixels (default: 64)",
    )


def chosen_formats(options: argparse.Namespace, images: int = 1) -> tuple[str, ...] | None:
    """The formats that ``--save`` names, each once; None where it is not given.

    ``--html`` adds the page to them, or to the usual ones.

    Args:
        options: of the command line.
        images: how many there are, on which the usual formats hang.

    Raises:
        UsageError: where one is unknown.
    """
    if options.save is None and not options.html:
        return None
    from densevl.api.jobs.formats import FORMATS, usual_formats

    names = usual_formats(images) if options.save is None else [name.strip() for name in options.save.split(",")]
    for name in names:
        if name not in FORMATS.names:
            raise UsageError(f"--save: format {name!r} is unknown; {suggestion(name, FORMATS.names)}")
    return tuple(dict.fromkeys([*names, *(["html"] if options.html else [])]))
