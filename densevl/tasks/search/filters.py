"""Filters: which regions of an index count in a search, by their images, the scores of their proposals or their class.

A filter gives an index again, of which fewer rows count, so that whatever searches it sees nothing else.
"""

import os
import re
from collections.abc import Callable
from dataclasses import replace
from fnmatch import translate
from pathlib import Path

import torch
from jaxtyping import Bool
from torch import Tensor

from densevl.classifiers.contracts import Classifier, check_classifier
from densevl.core.errors import UsageError
from densevl.core.inputs.urls import is_url
from densevl.tasks.search.index import RegionIndex
from densevl.tasks.search.scan import labels_of

__all__ = ["in_folder", "of_class", "of_images", "scoring"]


def of_images(index: RegionIndex, glob: str) -> RegionIndex:
    """The regions of the images whose names match a glob, or whose whole paths match it where it has a ``/``.

    Args:
        index: where to look.
        glob: such as ``*_left.jpg``; relative to the current folder where it has a ``/`` and does not begin with ``*``.

    Raises:
        UsageError: where no image matches.
    """
    whole = "/" in glob
    if whole and not glob.startswith(("/", "*")) and "://" not in glob:
        glob = os.path.join(os.getcwd(), glob)
    matches = re.compile(translate(glob)).match
    found = _by_path(index, lambda path: bool(matches(path if whole else path.rpartition("/")[2])))
    return _some(found, f"no image of the index matches {glob!r}; take a pattern such as 'day1_*.jpg' or '*/day1/*'")


def in_folder(index: RegionIndex, folder: str | Path) -> RegionIndex:
    """The regions of the images in a folder and in all folders below it.

    Args:
        index: to look in.
        folder: its path, or its URL where the images are in a bucket.

    Raises:
        UsageError: where the index has no image there.
    """
    url = is_url(os.fspath(folder))
    top = f"{os.fspath(folder).rstrip('/')}/" if url else os.path.join(os.path.abspath(folder), "")
    found = _by_path(index, lambda path: path.startswith(top))
    return _some(found, f"the index has no image in the folder {folder}; look at its paths with --json")


def scoring(index: RegionIndex, least: float) -> RegionIndex:
    """The regions whose proposals score at least a number.

    Raises:
        UsageError: where no region has a score, or none has so large a one.
    """
    scores = torch.cat([part.scores for part in index.parts])
    if not (index.live & ~scores.isnan()).any():
        raise UsageError("no region of this index has a score, as boxes of a file and of a grid have none")
    best = float(scores[index.live & ~scores.isnan()].max())
    chosen = replace(index, chosen=index.live & (scores >= least))
    return _some(chosen, f"no region of the index scores {least:g} or more; the best one has {best:.3g}")


def of_class(index: RegionIndex, classifier: Classifier, label: int) -> RegionIndex:
    """The regions that a classifier takes for a class rather than for any other one.

    Args:
        index: where to look.
        classifier: of the vectors of the index.
        label: of the class.

    Raises:
        UsageError: where the classifier belongs to another model, or no region is of the class.
    """
    check_classifier(classifier, index.model_id, classifier.space)
    found = labels_of(index, lambda values: classifier(values).argmax(1))
    name = classifier.vocabulary.names[label]
    return _some(replace(index, chosen=index.live & (found == label)), f"no region of the index is taken for {name!r}")


def _by_path(index: RegionIndex, counts: Callable[[str], bool]) -> RegionIndex:
    chosen: list[Bool[Tensor, " n"]] = []
    for part in index.parts:
        flags = torch.tensor([counts(image.path) for image in part.images] + [False])
        chosen.append(flags[part.image_rows])
    return replace(index, chosen=torch.cat(chosen) & index.live)


def _some(index: RegionIndex, message: str) -> RegionIndex:
    if not index.live.any():
        raise UsageError(message)
    return index
