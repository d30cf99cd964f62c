"""Everything that can be loaded or fetched by a name, in groups: models, encoders, mask makers, detectors."""

from dataclasses import dataclass
from typing import Any

from densevl.api.models import ModelEntry, encoders, is_model, model_entry, models, named_config, needed_weights
from densevl.weights import WeightsEntry, how_to_check, is_cached, location, size_text, weights_entry, weights_table
from densevl.weights.licences import terms
from densevl.weights.table import DATA

__all__ = ["Item", "catalogue", "details"]

MINI = "Models that come with densevl, for drawn scenes"
PHOTO = "Models that are installed with densevl, for photos"
SEGMENT = "Models for segment, compare, embed, search"
REFER = "Models for refer, embed, search"
BOTH = "Models for all commands"
ENCODERS = "Image-text encoders: --model NAME, or HEAD@NAME to read them as another model does"
LIMITED = "Image-text encoders that are not free for every use, such as a commercial one"
MASKS = "Mask makers: --mask-maker, --set mask_maker=NAME"
DETECTORS = "Detectors: label-regions --detector, --set detector=NAME"

PARTS = {"sam": MASKS, "mini-sam": MASKS, "sam2": MASKS, "owlv2": DETECTORS, "grounding-dino": DETECTORS}
"""The group of weights that are listed beside the models, by their kind."""


@dataclass(frozen=True)
class Item:
    """A line of the catalogue.

    Attributes:
        name: what `--model`, `--mask-maker`, `--detector` or `densevl fetch` takes.
        group: heading that it stands under.
        description: what it is, in a line.
        commands: that it is for.
        size: of its weights in bytes; four for each parameter where a file's size is not known.
        licence: of its weights.
        here: whether its weights are on this machine.
    """

    name: str
    group: str
    description: str
    commands: tuple[str, ...]
    size: int
    licence: str
    here: bool


def catalogue() -> list[Item]:
    """All items, group by group."""
    found = [_model_item(entry) for entry in models().values()]
    found += [_encoder_item(model_entry(name)) for name in encoders() if name not in models()]
    found += [_part_item(entry) for entry in weights_table().values() if entry.kind in PARTS]
    found += [Item("grabcut", MASKS, "OpenCV's GrabCut: no weights", (), 0, "Apache-2.0", True)]
    found += [Item("mini", DETECTORS, "the mini SAM, CLIP and CLOC: for drawn scenes", (), 0, "Apache-2.0", True)]
    found += [
        Item("grain", DETECTORS, "GRAIN: five things an image; none was released, --weights FILE", (), 0, "", False)
    ]
    groups = [PHOTO, MINI, SEGMENT, REFER, BOTH, ENCODERS, LIMITED, MASKS, DETECTORS]
    return sorted(found, key=lambda item: groups.index(item.group))


def details(name: str) -> dict[str, Any]:
    """Everything about a name: its line of the catalogue, each file of its weights, its settings. JSON values only.

    Args:
        name: a model, ``HEAD@ENCODER``, or some weights.

    Raises:
        UsageError: where it is unknown.
    """
    weights = needed_weights(name)
    head = name.partition("@")[0]
    if head in models():
        item = _model_item(model_entry(head))
    elif head in encoders():
        item = _encoder_item(model_entry(head))
    else:
        item = _part_item(weights[0])
    return {
        **vars(item),
        "name": name,
        "size": sum(one.bytes for one in weights),
        "licence": _licences(weights),
        "here": all(map(is_cached, weights)),
        "files": [_file(file) for one in weights for file in one.files],
        "encoder": _read_as(weights_entry(name)) if name in encoders() else {},
        "config": named_config(name) if is_model(name) else {},
    }


def _model_item(entry: ModelEntry) -> Item:
    packaged, installed = (all(map(test, entry.files)) for test in (_of_densevl, lambda file: file.distribution))
    segments, refers = "segmentor" in entry.config, "grounder" in entry.config
    needed = BOTH if segments and refers else SEGMENT if segments else REFER
    group = PHOTO if installed else MINI if packaged else needed
    return Item(entry.name, group, entry.description, entry.commands, entry.size, entry.licence, entry.cached)


def _encoder_item(entry: ModelEntry) -> Item:
    """The line of the weights of an encoder: what they hold, and not the parts that they are used with."""
    weights = weights_entry(entry.name)
    group = MINI if _of_densevl(weights) else LIMITED if terms(weights.licence) else ENCODERS
    about = "; ".join(filter(None, (weights.arch, weights.note)))
    return Item(entry.name, group, about, entry.commands, weights.bytes, weights.licence, is_cached(weights))


def _read_as(entry: WeightsEntry) -> dict[str, Any]:
    """How the weights of an encoder are read, by the words that people are shown."""
    return {
        "architecture": entry.arch or entry.kind,
        "layout": entry.layout or "told by the names of the file",
        "made from": ", ".join(entry.bases),
        "tokenizer": entry.tokenizer or "CLIP's",
        "whole images": entry.resize,
        "mean": list(entry.mean),
        "std": list(entry.std),
        "chances": "softmax over what is asked, with the encoder's own factor of cosines; calibrated on nothing",
    }


def _of_densevl(entry: WeightsEntry) -> bool:
    return entry.packaged and entry.folder == DATA and not entry.distribution


def _part_item(entry: WeightsEntry) -> Item:
    group = PARTS.get(entry.kind, "weights")
    return Item(entry.name, group, entry.note, (), entry.bytes, entry.licence, is_cached(entry))


def _licences(weights: tuple[WeightsEntry, ...]) -> str:
    return ", ".join(dict.fromkeys(one.licence for one in weights))


def _file(entry: WeightsEntry) -> dict[str, Any]:
    here = {"weights": entry.name, "file": entry.file, "licence": entry.licence, "here": is_cached(entry)}
    if entry.packaged:
        size, origin, check = f"{entry.bytes} bytes", "comes with its package", ""
    else:
        size, origin, check = size_text(entry), entry.address, how_to_check(entry)
    place = {"from": origin, "check": check, "at": str(location(entry)), "paper": entry.paper, "note": entry.note}
    return {**here, "size": size, "bytes": entry.size, "sha256": entry.sha256, **place}
