"""A package outside of densevl that adds a member of each family; tests name it in DENSEVL_PLUGINS."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from densevl.benchmarks.lenses import LENSES
from densevl.benchmarks.lenses.answers import ANSWER_LENSES
from densevl.benchmarks.lenses.answers.contracts import Section
from densevl.benchmarks.lenses.contracts import Finding
from densevl.classifiers import CLASSIFIERS
from densevl.classifiers.contracts import Examples, LinearClassifier
from densevl.core.errors import UsageError
from densevl.core.features import DenseFeatures, TextEmbeddings
from densevl.core.geometry import Size
from densevl.core.regions import RegionEmbeddings, Regions
from densevl.core.registry import build
from densevl.dense.contracts import named
from densevl.dense.readouts import READOUTS
from densevl.dense.stages import STAGES
from densevl.encoders import ENCODERS
from densevl.encoders.clip import CLIPEncoder
from densevl.encoders.contracts import LastBlock, Needs
from densevl.encoders.loading import build_clip
from densevl.encoders.tuning import TUNABLES
from densevl.regions.embedders import REGION_EMBEDDERS
from densevl.regions.embedders.embedder import RegionEmbedder
from densevl.training.tuning.contracts import Step
from densevl.training.tuning.losses import LOSSES


class Striped:
    """A block that attends within a row of patches alone: a view of another block."""

    def __init__(self, block: Any) -> None:
        self.norm_1, self.qkv, self.out, self.norm_2, self.mlp = (
            block.norm_1,
            block.qkv,
            block.out,
            block.norm_2,
            block.mlp,
        )


class ToyTower:
    """An image tower of two prefix tokens (the class token twice), over the tower of another encoder."""

    prefix = 2

    def __init__(self, tower: Any) -> None:
        self.tower = tower
        self.width, self.depth, self.dim, self.patch_size = tower.width, tower.depth, tower.dim, tower.patch_size

    def blocks_on(self, grid: Size, positions: str = "size") -> Sequence[Any]:
        return [Striped(block) for block in self.tower.blocks_on(grid, positions)]

    @property
    def size(self) -> Size:
        return self.tower.size

    @property
    def dtype(self) -> torch.dtype:
        return self.tower.dtype

    def tokens(self, images: Tensor, positions: str = "size") -> tuple[Tensor, Size]:
        x, grid = self.tower.tokens(images, positions)
        return torch.cat([x[:, :1], x], dim=1), grid

    def to_joint(self, tokens: Tensor) -> Tensor:
        return self.tower.to_joint(tokens)

    def pool(self, tokens: Tensor) -> Tensor:
        return self.tower.pool(tokens[:, 1:])

    def embed(self, images: Tensor) -> Tensor:
        return self.tower.embed(images)


@ENCODERS.register_module("toy-encoder")
def build_toy_encoder(weights: str = "mini-clip", offline: bool = False) -> CLIPEncoder:
    """A CLIP with another image tower."""
    encoder = build_clip(weights, offline=offline, text_cache=False)
    encoder.image = ToyTower(encoder.image)
    encoder.model_id = f"toy-{encoder.model_id}"
    return encoder


class ToyGuide:
    """A second encoder: the mean colour of each patch."""

    def __init__(self, patch_size: int = 8) -> None:
        self.patch_size = patch_size

    def __call__(self, images: Tensor) -> DenseFeatures:
        return DenseFeatures(F.avg_pool2d(images, self.patch_size, ceil_mode=True), self.patch_size, "toy-guide")


@READOUTS.register_module("toy-guided")
@dataclass(frozen=True)
class ToyGuided:
    """Values averaged over the patches of like colour, as a guide sees them."""

    sharpness: float = 20.0

    @property
    def needs(self) -> Needs:
        return Needs(guide=ToyGuide())

    @property
    def name(self) -> str:
        return named("toy-guided", self)

    def __call__(self, last: LastBlock) -> Tensor:
        colours = last.guide.grid.flatten(2).mT
        weights = (-self.sharpness * torch.cdist(colours, colours)).softmax(dim=-1)
        (values,) = last.block.qkv(last.block.norm_1(last.tokens), "v")
        mixed = weights[:, None] @ values[:, :, last.prefix :]
        return last.on_grid(last.tokens[:, last.prefix :] + last.block.out(mixed))


@READOUTS.register_module("toy-windows")
@dataclass(frozen=True)
class ToyWindows:
    """Reads all windows of an image together: each patch is moved to the mean of them all."""

    needs = Needs(windows=True)
    name = "toy-windows"

    def __call__(self, last: LastBlock) -> Tensor:
        assert last.windows is not None
        assert len(last.windows) == len(last.tokens)
        own = last.on_grid(last.tokens)
        return own + own.mean(dim=(0, 2, 3), keepdim=True)


@READOUTS.register_module("toy-texts")
@dataclass(frozen=True)
class ToyTexts:
    """Reads the texts while it encodes, so that its features belong to one vocabulary."""

    needs = Needs(texts=True)
    name = "toy-texts"

    def __call__(self, last: LastBlock) -> Tensor:
        assert last.texts is not None
        return last.on_grid(last.tokens) * (1 + last.texts.vectors.square().mean())


@STAGES.register_module("toy-blur")
@dataclass(frozen=True)
class ToyBlur:
    """Each patch takes the mean of its neighbours."""

    side: int = 3

    needs = Needs()

    @property
    def name(self) -> str:
        return named("toy-blur", self)

    def __call__(self, probabilities: Tensor, features: DenseFeatures) -> Tensor:
        return F.avg_pool2d(probabilities, self.side, 1, self.side // 2, count_include_pad=False)


@CLASSIFIERS.register_module("toy-first")
@dataclass(frozen=True)
class ToyFirst:
    """The first query of each class, on half the scale: a linear classifier made of the texts."""

    scale: float = 0.5

    @property
    def name(self) -> str:
        return f"toy-first(scale={self.scale})"

    def fit(
        self, texts: TextEmbeddings, examples: Examples | None = None, temperature: float = 100.0
    ) -> LinearClassifier:
        owners = texts.query_classes.tolist()
        rows = [owners.index(label) for label in range(len(texts.vocabulary))]
        weight = self.scale * temperature * texts.vectors[rows]
        return LinearClassifier(weight, torch.zeros(len(rows)), texts.vocabulary, texts.model_id)


@REGION_EMBEDDERS.register_module("toy-centre")
class ToyCentre(nn.Module, RegionEmbedder):
    """The crop around the centre of each region."""

    def __init__(self, encoder: Any, side: int = 16) -> None:
        super().__init__()
        self.encoder, self.side = build(ENCODERS, encoder), side

    @property
    def protocol(self) -> dict[str, Any]:
        return {"type": "toy-centre", "encoder": self.encoder.model_id, "side": self.side}

    def embed(self, image: Any, regions: Regions) -> RegionEmbeddings:
        pixels = torch.from_numpy(image).permute(2, 0, 1).float() / 255
        crops = []
        for x0, y0, x1, y1 in regions.boxes.tolist():
            x, y = int((x0 + x1) / 2), int((y0 + y1) / 2)
            left, top = max(x - self.side // 2, 0), max(y - self.side // 2, 0)
            crop = pixels[:, top : top + self.side, left : left + self.side]
            crops.append(F.interpolate(crop[None], (32, 32), mode="bilinear")[0])
        return RegionEmbeddings(self.encoder.embed_images(torch.stack(crops)), self.encoder.model_id)


@ANSWER_LENSES.register_module("toy-count")
@dataclass(frozen=True)
class ToyCount:
    """The number of images that could be used."""

    name = "toy-count"

    def measure(self, sample: Mapping[str, Any]) -> int:
        return 1

    def section(self, found: Sequence[int], facts: Mapping[str, Any]) -> Section:
        return Section({"count": sum(found)}, [f"{sum(found)} images were counted"])


@TUNABLES.register_module("toy-shift")
class ToyShift(nn.Module):
    """A vector that is added to those of whole images, before they are made unit vectors."""

    towers = ("image",)
    settings: Mapping[str, Any] = {}

    def __init__(self, encoder: CLIPEncoder) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(encoder.dim))

    def attach(self, encoder: Any) -> None:
        embed = encoder.image.embed
        encoder.image.embed = lambda images: embed(images) + self.shift

    def fold(self, encoder: Any) -> None:
        raise UsageError("a shift of vectors is no weight of the encoder; keep the delta")


@LOSSES.register_module("toy-pull")
@dataclass(frozen=True)
class ToyPull:
    """The distance of each example from the text of its class."""

    weight: float = 1.0
    needs = ("labels",)

    def __call__(self, step: Step) -> Tensor:
        return self.weight * (step.look.vectors - step.texts[step.labels]).square().sum(1).mean()


@LENSES.register_module("toy-names")
@dataclass(frozen=True)
class ToyNames:
    """The number of names that a model is asked by."""

    name = "toy-names"
    title = "Names"

    def gather(self, subject: Any, source: Any) -> Sequence[Any]:
        return source.labelled(self.name)

    def examine(self, subject: Any, data: Sequence[Any]) -> Finding:
        names = {name for image in data for name in image.names}
        return Finding({"names": len(names)}, [f"{len(names)} names"])
