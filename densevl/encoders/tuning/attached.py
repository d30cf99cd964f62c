"""Encoders with what tuning learnt in them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from densevl.core.delta import Delta
from densevl.core.errors import UsageError, WeightsError, shortened
from densevl.core.registry import build
from densevl.encoders.clip import CLIPEncoder
from densevl.encoders.tuning import TUNABLES
from densevl.encoders.tuning.contracts import Tunable

__all__ = ["attached", "built", "delta_of", "restored"]


def built(encoder: CLIPEncoder, parts: Sequence[Mapping[str, Any]], seed: int = 0) -> list[Tunable]:
    """Tunables of an encoder, not attached yet; what is drawn is drawn by a seed.

    Args:
        encoder: whose numbers they are.
        parts: the config of each.
        seed: of prompts.

    Raises:
        UsageError: where one is unknown, or not of a kind that the encoder can be tuned by.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return [build(TUNABLES, {**part, "encoder": encoder}) for part in parts]


def delta_of(tunables: Sequence[Tunable], model_id: str) -> Delta:
    """What tunables hold now.

    Args:
        tunables: attached to an encoder.
        model_id: identity of the encoder before they were attached.
    """
    parts = [{"type": TUNABLES.name_of(one), **one.settings} for one in tunables]
    tensors = [{name: value.detach().cpu().clone() for name, value in _named(one).items()} for one in tunables]
    return Delta(model_id, parts, tensors, any("image" in one.towers for one in tunables))


def attached(encoder: CLIPEncoder, delta: Delta | str | Path) -> CLIPEncoder:
    """An encoder that from now on computes with what tuning learnt.

    Its ``tuned`` are the tunables, in their order, and its ``delta`` is the hash of what was learnt. Vectors of images
    have another identity where the image tower is changed, and texts are no longer kept on disk.

    Args:
        encoder: the one that was tuned; it is changed.
        delta: what was learnt, or a file of it.

    Raises:
        UsageError: where the delta is of another encoder, or there is none.
        WeightsError: where the file is damaged, or its tensors do not fit.
    """
    found = delta if isinstance(delta, Delta) else Delta.load(delta)
    if found.model_id != encoder.model_id:
        raise UsageError(
            f"the delta was tuned in {found.model_id!r} and this encoder is {encoder.model_id!r}; load the model that "
            "was tuned"
        )
    tunables = restored(encoder, found)
    for tunable in tunables:
        # What plain weights can say costs nothing then; prompts have to stay beside them.
        tunable.fold(encoder) if getattr(tunable, "foldable", False) else tunable.attach(encoder)
    encoder.text_cache = None  # what it keeps under the identity of the images is of the texts as they were
    if found.images:
        encoder.model_id = f"{found.model_id}+{found.digest}"
    encoder.delta = found.digest
    encoder.tuned = nn.ModuleList(tunables)  # type: ignore[arg-type]
    return encoder.eval().requires_grad_(False)


def restored(encoder: CLIPEncoder, delta: Delta) -> list[Tunable]:
    """Tunables of an encoder that hold what was learnt, not attached yet.

    Args:
        encoder: the one that was tuned.
        delta: what was learnt.

    Raises:
        WeightsError: where its tensors do not fit.
    """
    tunables = built(encoder, delta.parts)
    for tunable, own in zip(tunables, delta.tensors, strict=True):
        _fill(tunable, own)
    return tunables


def _fill(tunable: Tunable, tensors: Mapping[str, Tensor]) -> None:
    """Put tensors into a tunable.

    Raises:
        WeightsError: where they are not those of it.
    """
    own = _named(tunable)
    wrong = sorted({*own} ^ {*tensors}) or [name for name in own if own[name].shape != tensors[name].shape]
    if wrong:
        raise WeightsError(f"the delta does not fit its encoder ({shortened(', '.join(wrong))}); tune anew")
    for name, parameter in own.items():
        parameter.data.copy_(tensors[name])


def _named(tunable: Tunable) -> dict[str, nn.Parameter]:
    return dict(tunable.named_parameters())
