"""Vectors of the regions of many images, kept in files and searched by text or by example."""

from densevl.region_index.files import is_index
from densevl.region_index.index import RegionIndex
from densevl.region_index.part import IndexedImage, Part
from densevl.region_index.search import Hit, exact_rows, search

__all__ = ["Hit", "IndexedImage", "Part", "RegionIndex", "exact_rows", "is_index", "search"]
