"""Whether a model gives a thing the attribute of another thing of the image: concept association bias.

Source: Yamada, Tang and Yildirim, When are Lemons Purple? EMNLP 2023. Scenes hold two things of different colours and
shapes. Each is asked for by "{colour} {shape}", its shape given, in all eight colours. The real twin are the hard
negatives of FG-OVD (Bianchi et al., CVPR 2024): one whose new words are true of another part or thing of the image is
an *other* option, each further one a *rest* option. For the figures see :mod:`densevl.metrics.association`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from densevl.benchmarks.lenses.choosing import WAYS, ChoiceImage, choose_by, of_scene, refuse_taught, ways_of
from densevl.benchmarks.lenses.contracts import Finding, Plot, Table
from densevl.benchmarks.lenses.source import SIDE, Source
from densevl.benchmarks.lenses.subject import Subject
from densevl.core.drawing.shares import draw_shares
from densevl.core.errors import UsageError
from densevl.core.images import read_image
from densevl.core.masks import decode_masks
from densevl.core.regions import Regions
from densevl.datasets.regions.annotations import AnnotatedImage, RegionAnnotations, find_image, read_annotations
from densevl.datasets.regions.swaps import borrowed
from densevl.datasets.scenes import Scene
from densevl.datasets.scenes.scene import COLOURS
from densevl.datasets.scenes.unlike import unlike_things
from densevl.metrics.association import OTHER, OWN, REST, AssociationScores
from densevl.metrics.table import or_none

__all__ = ["Association"]


@dataclass(frozen=True)
class Association:
    """Attributes that swap owners, asked by whole images, regions and pixels."""

    name = "association"
    title = "Whose attribute it is"

    def gather(self, subject: Subject, source: Source) -> list[ChoiceImage]:
        """Scenes of two things, or regions with hard negatives.

        Raises:
            UsageError: where the subject is asked by taught classes, or the file has no hard negatives.
        """
        refuse_taught(self.name, subject)
        if source.file is not None:
            return _of_files(source.file, source.images)
        return [_of_two(unlike_things(source.seed, index, 2, SIDE)) for index in range(source.scenes)]

    def examine(self, subject: Subject, data: Sequence[ChoiceImage]) -> Finding:
        """Shares and bias by each way of choosing."""
        found = {way: AssociationScores(*choose_by(way, subject, data)) for way in ways_of(subject)}
        lines = [f"{WAYS[way]}: {_said(one)}" for way, one in found.items()]
        rows = [
            (WAYS[way], one.right, one.other, one.neither, or_none(one.bias), or_none(one.error))
            for way, one in found.items()
        ]
        columns = ("asked by", "right", "of another thing", "of nothing", "bias", "standard error")
        shares = {
            f"{WAYS[way]}\nbias {one.bias:+.3f}": {
                "its own": one.right, "another thing's": one.other, "nothing's": one.neither,
            }
            for way, one in found.items()
        }  # fmt: skip
        plot = Plot("shares", draw_shares(shares, "Whose attribute is the answer?"), _SAID)
        values = {way: one.as_dict() for way, one in found.items()}
        return Finding(values, lines, [plot], [Table("Answers", columns, rows)])


_SAID = (
    "Shares of the answers. The bias is the share of an attribute of another thing minus the mean share of one that "
    "nothing in the image has: 0 where mistakes do not care what else is there."
)


def _said(scores: AssociationScores) -> str:
    bias = "no bias to tell" if scores.bias != scores.bias else f"bias {scores.bias:+.3f} ± {scores.error:.3f}"
    return (
        f"{scores.right:.1%} of {len(scores.answers)} right, {scores.other:.1%} the attribute of another thing, "
        f"{scores.neither:.1%} of nothing there; {bias}"
    )


def _of_two(scene: Scene) -> ChoiceImage:
    """Each thing of a scene, asked for its colour."""
    colours = [item.colour for item in scene.objects]
    options = [[f"{colour} {item.shape}" for colour in COLOURS] for item in scene.objects]
    kinds = [[OWN if colour == own else OTHER if colour in colours else REST for colour in COLOURS] for own in colours]
    return of_scene(scene, options, kinds)


def _of_files(file: Path, images: Path | None) -> list[ChoiceImage]:
    files = sorted(file.glob("*.json")) if file.is_dir() else [file]
    found = []
    for path in files:
        annotations = read_annotations(path, masks=True)
        for image in annotations.images:
            if any(region.choices for region in image.regions):
                found.append(_of_image(annotations, image, path.parent, images))
    if not found:
        raise UsageError(
            f"the lens 'association' needs hard negatives, the neg_category_ids of FG-OVD, and {file} has none; "
            "leave TEST out to draw scenes of two things"
        )
    return found


def _of_image(found: RegionAnnotations, image: AnnotatedImage, root: Path, images: Path | None) -> ChoiceImage:
    asked = [region for region in image.regions if region.choices]
    path = find_image(image.file_name, images or root, "." if images else "images")
    if not path.is_file():
        raise UsageError(f"the image {image.file_name} is neither in {path.parent} nor in {root}; give --images FOLDER")
    truths = [found.texts[region.truth] for region in image.regions]
    options, kinds = [], []
    for region in asked:
        truth, (_, *negatives) = found.texts[region.truth], region.choices or (region.truth,)
        texts = [found.texts[index] for index in negatives]
        options.append([truth, *texts])
        kinds.append([OWN, *(OTHER if borrowed(truth, text, truths) else REST for text in texts)])

    def place(size: tuple[int, int]) -> Regions:
        regions = Regions.from_boxes([list(region.box) for region in asked], size)
        masks = [region.mask for region in asked if region.mask is not None]
        return regions.with_masks(decode_masks(masks, size)) if len(masks) == len(asked) else regions

    return ChoiceImage(partial(read_image, path), place, options, kinds)
