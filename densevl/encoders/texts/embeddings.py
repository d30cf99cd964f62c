"""Embeddings of texts by any text tower: means over templates, batches of about equal length, a cache on disk."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int
from torch import Tensor
from tqdm import tqdm

from densevl.core.errors import UsageError
from densevl.encoders.contracts import FrozenTexts, LearntTemplate, TextTower
from densevl.encoders.texts.cache import TextCache

__all__ = ["embed_texts"]

SENTENCES_AT_ONCE = 128
TEXTS_AT_ONCE = 64
STATES_AT_ONCE = 16
"""Sentences of a batch of a tower with a dear first part, which is a language model of billions of weights."""


def embed_texts(
    tower: TextTower, texts: Sequence[str], templates: Sequence[str], model_id: str, cache: TextCache | None = None
) -> Float32[Tensor, "q d"]:
    """Unit vectors of texts: each template's embedding normalised, averaged over the templates, normalised again.

    A progress bar shows where it takes long.

    Args:
        tower: the text tower. Of a :class:`densevl.encoders.contracts.FrozenTexts` the output of the first part is
            kept in place of the embeddings. A :class:`densevl.encoders.contracts.LearntTemplate` takes the place of
            the templates.
        texts: class names or other texts; equal ones are embedded once.
        templates: texts that hold ``{}`` where the text goes.
        model_id: identity of the model in the cache.
        cache: where embeddings are kept; None for nowhere.

    Raises:
        UsageError: where there is no text or template, a text is blank or does not fit in the context of the model,
            or a template has no ``{}``.
    """
    _check_texts(texts, templates)
    if isinstance(tower, LearntTemplate):
        templates = tower.templates
    if isinstance(tower, FrozenTexts):
        sentences = _sentences(texts, templates)
        states = _states(tower, sentences, cache).split(SENTENCES_AT_ONCE)
        parts = [F.normalize(tower.adapt(one.to(tower.device)).float(), dim=1) for one in states]
        return _mean(torch.cat(parts), len(templates))
    file = None if cache is None else cache.path(model_id, templates, tower.dtype)
    known = {} if cache is None or file is None else cache.read(file)
    missing = [text for text in dict.fromkeys(texts) if text not in known]
    with _progress(len(missing) * len(templates)) as progress:
        for start in range(0, len(missing), TEXTS_AT_ONCE):
            group = missing[start : start + TEXTS_AT_ONCE]
            units = _ordered(
                tower, _sentences(group, templates), lambda ids: F.normalize(tower.encode(ids).float(), dim=1), progress
            )
            fresh = dict(zip(group, _mean(units, len(templates)).cpu(), strict=True))
            known.update(fresh)
            if cache is not None and file is not None:
                cache.add(file, fresh)
    return torch.stack([known[text] for text in texts]).to(tower.device)


def _states(tower: FrozenTexts, sentences: Sequence[str], cache: TextCache | None) -> Float32[Tensor, "q c"]:
    """The output of a tower's first part, from the cache where it has run before."""
    kept = None if cache is None else cache.of_states()
    file = None if kept is None else kept.path(tower.identity, (), torch.float32)
    known = {} if kept is None or file is None else kept.read(file)
    missing = [sentence for sentence in dict.fromkeys(sentences) if sentence not in known]
    with _progress(len(missing)) as progress:
        for start in range(0, len(missing), TEXTS_AT_ONCE):
            group = missing[start : start + TEXTS_AT_ONCE]
            states = _ordered(tower, group, lambda ids: tower.states(ids).float(), progress, STATES_AT_ONCE)
            fresh = dict(zip(group, states.cpu(), strict=True))
            known.update(fresh)
            if kept is not None and file is not None:
                kept.add(file, fresh)
    return torch.stack([known[sentence] for sentence in sentences])


def _ordered(
    tower: TextTower,
    sentences: Sequence[str],
    run: Callable[[Int[Tensor, "q n"]], Float[Tensor, "q d"]],
    progress: tqdm,
    most: int = SENTENCES_AT_ONCE,
) -> Float[Tensor, "q d"]:
    """What a function gives for the ids of sentences, run in batches of about equal length, which waste least."""
    tokens = tower.tokenize(sentences)
    # Tokenizers fill up with equal ids, and so a text ends where they begin.
    order = (tokens != tokens[:, -1:]).sum(dim=1).argsort(stable=True)
    found = []
    for rows in order.split(most):
        found.append(run(tokens[rows].to(tower.device)))
        progress.update(len(rows))
    return torch.cat(found)[order.argsort()]


def _mean(units: Float32[Tensor, "s d"], templates: int) -> Float32[Tensor, "q d"]:
    """Unit vectors of texts, from those of each text in each template."""
    return F.normalize(units.unflatten(0, (-1, templates)).mean(dim=1), dim=1)


def _sentences(texts: Sequence[str], templates: Sequence[str]) -> list[str]:
    return [template.replace("{}", text) for text in texts for template in templates]


def _progress(total: int) -> tqdm:
    return tqdm(total=total, desc="texts", delay=2, leave=False, disable=None)


def _check_texts(texts: Sequence[str], templates: Sequence[str]) -> None:
    if isinstance(texts, str) or not texts or not templates:
        raise UsageError(f"give at least one text and one template, as lists; got {texts!r} and {templates!r}")
    blank = next((text for text in texts if not text.strip()), None)
    if blank is not None:
        raise UsageError(f"a text is blank: {blank!r}; give it a name or leave it out")
    wrong = next((template for template in templates if "{}" not in template), None)
    if wrong is not None:
        raise UsageError(f"template {wrong!r} has no place for the class name; put {{}} there")
