"""``densevl shrink``: a smaller CLIP of the parts of another, at once."""

import argparse
from pathlib import Path
from typing import Any

from densevl.cli.options import add_command, add_place_options, positive
from densevl.core.errors import UsageError

__all__ = ["add"]

EXAMPLES = """\
  densevl shrink maskclip --depth 8 --out small.safetensors
  densevl shrink maskclip --depth 8 --width 640 --images photos/ --out small.safetensors
  densevl shrink mini-maskclip --depth 3 --text-depth 2 --images scenes --out small.safetensors
  densevl segment photo.jpg "cat, sofa" --model maskclip --weights small.safetensors
"""

SCENES, OF_SCENES, SEED = "scenes", 32, 21
"""What is written for scenes that densevl draws, how many, and their collection, which is used for nothing else."""


def add(commands: Any) -> None:
    """Add the parser of the command."""
    parser = add_command(
        commands,
        "shrink",
        _shrink,
        "make a smaller CLIP of the parts of another, without training",
        "Copy a smaller CLIP out of a larger one: of its channels, heads, units and blocks the first ones, as TinyCLIP "
        "starts its training, or those that matter most on --images. Quality is lost; nothing is trained afterwards.",
        EXAMPLES,
    )
    parser.add_argument("model", metavar="MODEL", help="see `densevl models`, or HEAD@ENCODER; its CLIP is shrunk")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="new .safetensors; a .json goes beside it"
    )
    parser.add_argument("--weights", metavar="FILE", help="weights in the place of the model's own")
    parser.add_argument("--width", type=positive, metavar="N", help="channels of the image tower, whole heads")
    parser.add_argument("--depth", type=positive, metavar="N", help="blocks of the image tower")
    parser.add_argument("--text-width", type=positive, metavar="N", help="channels of the text tower, whole heads")
    parser.add_argument("--text-depth", type=positive, metavar="N", help="blocks of the text tower")
    parser.add_argument(
        "--images",
        nargs="+",
        metavar="IMAGE",
        help="keep the parts that matter most on these images, files or folders; scenes: on drawn ones",
    )
    parser.add_argument(
        "--texts", type=Path, metavar="FILE", help="and of the text tower those that matter most on these lines of text"
    )
    add_place_options(parser, None)


def _shrink(options: argparse.Namespace) -> int:
    from densevl.api.jobs.shrink import Size, check_target, shrink, write_shrunk

    # What cannot be used is said before a model is loaded.
    check_target(options.out)
    if options.texts is not None and options.images is None:
        raise UsageError("--texts tell what matters in the text tower beside --images; name some")
    images, texts = _seen(options)

    from densevl.api.loading import load

    model = load(options.model, weights=options.weights, device=options.device, offline=options.offline, lazy=True)
    shrunk = shrink(
        model.segmentor.encoder,
        Size(options.width, options.depth),
        Size(options.text_width, options.text_depth),
        images=images,
        texts=texts,
    )
    write_shrunk(shrunk, options.out)
    for name, before, after in zip(("image", "text"), shrunk.before, shrunk.after, strict=True):
        print(f"{name} tower: {before / 1e6:.2f} → {after / 1e6:.2f} million weights")
    print(f"{options.out}; use it as --model {options.model} --weights {options.out}")
    return 0


def _seen(options: argparse.Namespace) -> tuple[list[Any] | None, list[str]]:
    """The images and texts that importance is measured on; no list of images where the first parts are kept."""
    if options.images is None:
        return None, []
    texts = [] if options.texts is None else _lines(options.texts)
    if options.images == [SCENES]:
        return _scenes(texts)
    import torch

    from densevl.core.inputs.find import find_inputs

    found = [one.read() for one in find_inputs(options.images, offline=options.offline)]
    return [torch.from_numpy(one).permute(2, 0, 1) / 255 for one in found], texts


def _lines(file: Path) -> list[str]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--texts {file} cannot be read: {error}") from None
    return [line.strip() for line in lines if line.strip()]


def _scenes(texts: list[str]) -> tuple[list[Any], list[str]]:
    """Drawn scenes, and where there are no other texts, their captions and the names of what they show."""
    from densevl.datasets.scenes.training import ScenePairs

    pairs = [ScenePairs(OF_SCENES, size=128, zoom=(1.0, 2.0), count=(1, 4), seed=SEED)[i] for i in range(OF_SCENES)]
    named = {name for pair in pairs for thing in pair["texts"].things for name in thing}
    own = [*(pair["texts"].caption for pair in pairs), *sorted(named)]
    return [pair["images"] / 255 for pair in pairs], texts or own
