"""Embeddings of texts by any text tower: means over templates, batches of about equal length, a cache on disk."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float32
from torch import Tensor
from tqdm import tqdm

from densevl.core.errors import UsageError
from densevl.encoders.contracts import TextTower
from densevl.encoders.texts.cache import TextCache

__all__ = ["embed_texts"]

SENTENCES_AT_ONCE = 128
TEXTS_AT_ONCE = 64


def embed_texts(
    tower: TextTower, texts: Sequence[str], templates: Sequence[str], model_id: str, cache: TextCache | None = None
) -> Float32[Tensor, "q d"]:
    """Unit vectors of texts: each template's embedding normalised, averaged over the templates, normalised again.

    A progress bar shows where it takes long.

    Args:
        tower: the text tower.
        texts: class names or other texts; equal ones are embedded once.
        templates: texts that hold ``{}`` where the text goes.
        model_id: identity of the model in the cache.
        cache: where embeddings are kept; None for nowhere.

    Raises:
        UsageError: where there is no text or template, a text is blank or does not fit in the context of the model,
            or a template has no ``{}``.
    """
    _check_texts(texts, templates)
    file = None if cache is None else cache.path(model_id, templates, tower.dtype)
    known = {} if cache is None or file is None else cache.read(file)
    missing = [text for text in dict.fromkeys(texts) if text not in known]
    total = len(missing) * len(templates)
    with tqdm(total=total, desc="texts", delay=2, leave=False, disable=None) as progress:
        for start in range(0, len(missing), TEXTS_AT_ONCE):
            group = missing[start : start + TEXTS_AT_ONCE]
            fresh = dict(zip(group, _embed(tower, group, templates, progress.update).cpu(), strict=True))
            known.update(fresh)
            if cache is not None and file is not None:
                cache.add(file, fresh)
    return torch.stack([known[text] for text in texts]).to(tower.device)


def _embed(
    tower: TextTower, texts: Sequence[str], templates: Sequence[str], advance: Callable[[int], object]
) -> Float32[Tensor, "q d"]:
    """Unit vectors of a group of texts; ``advance`` is called with the number of sentences done, batch by batch."""
    tokens = tower.tokenize([template.replace("{}", text) for text in texts for template in templates])
    # Batches of about equal length waste least; tokenizers pad with equal ids, and so a text ends where they begin.
    order = (tokens != tokens[:, -1:]).sum(dim=1).argsort(stable=True)
    units = []
    for rows in order.split(SENTENCES_AT_ONCE):
        units.append(F.normalize(tower.encode(tokens[rows].to(tower.device)).float(), dim=1))
        advance(len(rows))
    embeddings = torch.cat(units)[order.argsort()]
    return F.normalize(embeddings.unflatten(0, (len(texts), len(templates))).mean(dim=1), dim=1)


def _check_texts(texts: Sequence[str], templates: Sequence[str]) -> None:
    if isinstance(texts, str) or not texts or not templates:
        raise UsageError(f"give at least one text and one template, as lists; got {texts!r} and {templates!r}")
    blank = next((text for text in texts if not text.strip()), None)
    if blank is not None:
        raise UsageError(f"a text is blank: {blank!r}; give it a name or leave it out")
    wrong = next((template for template in templates if "{}" not in template), None)
    if wrong is not None:
        raise UsageError(f"template {wrong!r} has no place for the class name; put {{}} there")
