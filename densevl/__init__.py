"""densevl: dense and region-level vision from free text.

For example::

    import densevl

    model = densevl.load()
    result = model.segment("photo.jpg", ["cat", ["sofa", "couch"], "floor"])
    result.save("labels.png")

Importing this package loads nothing heavy: each public name is imported when it is first used.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from densevl.api.loading import load
    from densevl.api.model import Model
    from densevl.api.models import models
    from densevl.api.templates import rank_templates
    from densevl.classifiers.classes import Classes
    from densevl.classifiers.contracts import Classifier, Examples
    from densevl.classifiers.gda import GDA
    from densevl.core.background import Background
    from densevl.core.errors import DensevlError, ImageError, OutputError, UsageError, WeightsError
    from densevl.core.features import DenseFeatures, TextEmbeddings, TextVectors
    from densevl.core.images import read_image
    from densevl.core.labelmap import LabelMap
    from densevl.core.regions import RegionEmbeddings, Regions
    from densevl.core.vocabulary import Vocabulary
    from densevl.datasets.examples import read_examples, read_sequences
    from densevl.dense.encoder import DenseEncoder
    from densevl.dense.refiners.dinoiser_weights import build_dinoiser
    from densevl.encoders.clip import CLIPEncoder
    from densevl.encoders.loading import build_clip
    from densevl.encoders.ranking.ranking import Ranking
    from densevl.regions.mask_makers.cache import CachedMasks
    from densevl.regions.mask_makers.sam import build_sam
    from densevl.regions.visual_prompts.draw import draw
    from densevl.regions.visual_prompts.table import Style
    from densevl.tasks.grounding.grounder import Grounder
    from densevl.tasks.grounding.grounding import EncodedRegions, Grounding
    from densevl.tasks.ranking import Order
    from densevl.tasks.search.index import RegionIndex
    from densevl.tasks.segmentation.encoded import EncodedImage
    from densevl.tasks.segmentation.region_segmentor import RegionSegmentor
    from densevl.tasks.segmentation.segmentor import Segmentor
    from densevl.tasks.sequences.recognition import SequenceRecognition
    from densevl.tasks.teaching.recognition import Recognition

__all__ = [
    "GDA",
    "Background",
    "CLIPEncoder",
    "CachedMasks",
    "Classes",
    "Classifier",
    "DenseEncoder",
    "DenseFeatures",
    "DensevlError",
    "EncodedImage",
    "EncodedRegions",
    "Examples",
    "Grounder",
    "Grounding",
    "ImageError",
    "LabelMap",
    "Model",
    "Order",
    "OutputError",
    "Ranking",
    "Recognition",
    "RegionEmbeddings",
    "RegionIndex",
    "RegionSegmentor",
    "Regions",
    "Segmentor",
    "SequenceRecognition",
    "Style",
    "TextEmbeddings",
    "TextVectors",
    "UsageError",
    "Vocabulary",
    "WeightsError",
    "__version__",
    "build_clip",
    "build_dinoiser",
    "build_sam",
    "draw",
    "load",
    "models",
    "rank_templates",
    "read_examples",
    "read_image",
    "read_sequences",
]

_HOMES = {
    "GDA": "classifiers.gda",
    "Background": "core.background",
    "CLIPEncoder": "encoders.clip",
    "CachedMasks": "regions.mask_makers.cache",
    "Classes": "classifiers.classes",
    "Classifier": "classifiers.contracts",
    "DenseEncoder": "dense.encoder",
    "DenseFeatures": "core.features",
    "DensevlError": "core.errors",
    "EncodedImage": "tasks.segmentation.segmentor",
    "EncodedRegions": "tasks.grounding.grounding",
    "Examples": "classifiers.contracts",
    "Grounder": "tasks.grounding.grounder",
    "Grounding": "tasks.grounding.grounding",
    "ImageError": "core.errors",
    "LabelMap": "core.labelmap",
    "Model": "api.model",
    "Order": "tasks.ranking",
    "OutputError": "core.errors",
    "Ranking": "encoders.ranking.ranking",
    "Recognition": "tasks.teaching.recognition",
    "RegionEmbeddings": "core.regions",
    "RegionIndex": "tasks.search.index",
    "RegionSegmentor": "tasks.segmentation.region_segmentor",
    "Regions": "core.regions",
    "Segmentor": "tasks.segmentation.segmentor",
    "SequenceRecognition": "tasks.sequences.recognition",
    "Style": "regions.visual_prompts.table",
    "TextEmbeddings": "core.features",
    "TextVectors": "core.features",
    "UsageError": "core.errors",
    "Vocabulary": "core.vocabulary",
    "WeightsError": "core.errors",
    "build_clip": "encoders.loading",
    "build_dinoiser": "dense.refiners.dinoiser_weights",
    "build_sam": "regions.mask_makers.sam",
    "draw": "regions.visual_prompts.draw",
    "load": "api.loading",
    "models": "api.models",
    "rank_templates": "api.templates",
    "read_examples": "datasets.examples",
    "read_image": "core.images",
    "read_sequences": "datasets.examples",
}
"""The module of each public name."""


def __getattr__(name: str) -> Any:
    if name == "__version__":
        try:
            return version("densevl")
        except PackageNotFoundError:
            return "0+unknown"
    if name not in _HOMES:
        raise AttributeError(f"module 'densevl' has no attribute {name!r}")
    return getattr(import_module(f"densevl.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
