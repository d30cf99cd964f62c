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
    from densevl.core.background import Background
    from densevl.core.errors import DensevlError, ImageError, OutputError, UsageError, WeightsError
    from densevl.core.images import read_image
    from densevl.core.labelmap import LabelMap
    from densevl.core.vocabulary import Vocabulary
    from densevl.tasks.segmentation.segmentor import EncodedImage, Segmentor

__all__ = [
    "Background",
    "DensevlError",
    "EncodedImage",
    "ImageError",
    "LabelMap",
    "Model",
    "OutputError",
    "Segmentor",
    "UsageError",
    "Vocabulary",
    "WeightsError",
    "__version__",
    "load",
    "read_image",
]

_HOMES = {
    "Background": "core.background",
    "DensevlError": "core.errors",
    "EncodedImage": "tasks.segmentation",
    "ImageError": "core.errors",
    "LabelMap": "core.labelmap",
    "Model": "api.model",
    "OutputError": "core.errors",
    "Segmentor": "tasks.segmentation",
    "UsageError": "core.errors",
    "Vocabulary": "core.vocabulary",
    "WeightsError": "core.errors",
    "load": "api.loading",
    "read_image": "core.images",
}


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
