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
    from densevl.api import Model, load
    from densevl.background import Background
    from densevl.errors import DensevlError, ImageError, OutputError, UsageError, WeightsError
    from densevl.images import read_image
    from densevl.labelmap import LabelMap
    from densevl.segmentors import EncodedImage, Segmentor
    from densevl.vocabulary import Vocabulary

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
    "Background": "background",
    "DensevlError": "errors",
    "EncodedImage": "segmentors",
    "ImageError": "errors",
    "LabelMap": "labelmap",
    "Model": "api",
    "OutputError": "errors",
    "Segmentor": "segmentors",
    "UsageError": "errors",
    "Vocabulary": "vocabulary",
    "WeightsError": "errors",
    "load": "api",
    "read_image": "images",
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
