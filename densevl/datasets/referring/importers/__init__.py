"""Importers: referring expressions in the shapes in which people hold them."""

from densevl.datasets.referring.importers.convert import FORMATS, convert_refer, find_annotations, import_refer

__all__ = ["FORMATS", "convert_refer", "find_annotations", "import_refer"]
