"""Text templates ranked for each class on images without labels, for the classifier ``floss``."""

from collections.abc import Iterable

import torch
import torch.nn.functional as F

from densevl.api.model import Model
from densevl.api.teaching import ImageSource
from densevl.classifiers.templates import Rankings, TemplateEntropies
from densevl.core.errors import UsageError
from densevl.core.images import as_image
from densevl.core.vocabulary import Vocabulary, templates
from densevl.tasks.segmentation.region_segmentor import RegionSegmentor
from densevl.tasks.segmentation.segmentor import Segmentor

__all__ = ["rank_templates"]


@torch.inference_mode()
def rank_templates(
    model: Model,
    images: Iterable[ImageSource],
    classes: str | list[str | list[str]] | Vocabulary,
    background: str | None = None,
) -> Rankings:
    """Rank the templates of a model for each class, by how sure it is with them where it finds the class.

    For example::

        rankings = densevl.rank_templates(model, sorted(Path("photos").glob("*.jpg")), "cat, dog, grass")
        rankings.save("rankings.json")
        better = densevl.load("maskclip", classifier={"type": "floss", "rankings": "rankings.json"})

    Args:
        model: with dense label maps; a handful of templates says nothing, so that it should have many.
        images: without labels, of the kind that will be segmented; one after the other.
        classes: that will be asked, all of them: entropies depend on the classes beside.
        background: a background mode; None for that of the model.

    Raises:
        UsageError: where there is no image, the model makes no label maps, or it has one template alone.
    """
    dense = model.segmentor.dense if isinstance(model.segmentor, RegionSegmentor) else model.segmentor
    if not isinstance(dense, Segmentor):
        raise UsageError(f"a {type(dense).__name__} has no dense features to rank templates by; take a dense model")
    names = templates(dense.templates)
    if len(names) < 2:
        raise UsageError(
            f"templates {dense.templates} are one alone, so nothing is to rank; load it with templates='imagenet80'"
        )
    texts = dense.embed_with(dense.encoder, Vocabulary.of(classes), background, each=True)
    entropies, seen = TemplateEntropies(texts, dense.temperature), 0
    for image in images:
        (encoded,) = dense.encode([as_image(image)], texts if dense.encodes_for_texts else None)
        entropies.add(F.normalize(encoded.features.grid.float().flatten(2), dim=1).mT.flatten(0, 1))
        seen += 1
    if not seen:
        raise UsageError("there is no image to rank templates on; give some, without labels")
    return entropies.rankings(names)
