"""Vectors of the regions of many images, kept in files and searched by text or by example."""

from densevl.tasks.search.files import is_index
from densevl.tasks.search.index import RegionIndex
from densevl.tasks.search.part import IndexedImage, Part
from densevl.tasks.search.scan import exact_rows
from densevl.tasks.search.search import Hit, search

__all__ = ["Hit", "IndexedImage", "Part", "RegionIndex", "exact_rows", "is_index", "search"]
