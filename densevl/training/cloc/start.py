"""Beginnings of a training of CLOC: an encoder that suits its mode, a prompter, and the weights that it trains."""

import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from densevl.core.errors import UsageError
from densevl.encoders.clip import CLIPEncoder
from densevl.regions.embedders.prompted import load_prompter
from densevl.regions.embedders.prompter import Prompter
from densevl.regions.embedders.prompter_start import start_at_box_pooling

__all__ = ["check_encoder", "freeze_unread", "new_prompter"]

STARTS = ("random", "box-pooling")


def check_encoder(encoder: Any, frozen: bool) -> None:
    """Refuse an encoder that cannot be trained so, and warn of one that should not stay frozen.

    Raises:
        UsageError: where it has no tokens, or pools them by an attention of its own and shall be trained.
    """
    if not isinstance(encoder, CLIPEncoder):
        raise UsageError(f"a prompter reads the tokens of a CLIP with a ViT; {type(encoder).__name__} has none")
    if not frozen:
        _ = encoder.image.head()  # an error where it pools by attention
    if frozen and "@random:" in encoder.model_id:
        warning = f"{encoder.model_id} has learned nothing and is frozen; to train it too, pass frozen=False"
        print_log(warning, logger="current", level=logging.WARNING)


def new_prompter(prompter: Any, encoder: CLIPEncoder, start: str, settings: Mapping[str, Any]) -> Any:
    """A prompter for an encoder.

    Args:
        prompter: None for a new one; a file; a built one; or what makes one from width, dim and settings.
        encoder: whose tokens it shall read.
        start: first weights of a new one: ``"random"`` or ``"box-pooling"``.
        settings: of a new one.

    Raises:
        UsageError: where the arguments have no meaning, alone or together.
        WeightsError: where the file of a prompter cannot be used.
    """
    if start not in STARTS:
        raise UsageError(f"start must be one of {', '.join(STARTS)}; got {start!r}")
    if prompter is not None and (isinstance(prompter, nn.Module) or not callable(prompter)):
        if settings or start != "random":
            raise UsageError("a prompter that is built takes neither settings nor a start; leave them out")
        return load_prompter(prompter, encoder.model_id) if isinstance(prompter, str | Path) else prompter
    try:
        made = (prompter or Prompter)(encoder.width, encoder.dim, **settings)
    except TypeError as error:
        raise UsageError(f"the prompter cannot be built: {error}") from error
    if start == "box-pooling":
        start_at_box_pooling(made, *encoder.image.head())
    return made


def freeze_unread(module: nn.Module, results: Sequence[Tensor], kept: Collection[str] = ()) -> None:
    """Train only those weights of a module that some results depend on.

    Args:
        module: its weights are marked.
        results: computed by it, with gradients.
        kept: names of weights that stay as they are.
    """
    weights = [weight for name, weight in module.named_parameters() if name not in kept]
    total = torch.stack([result.sum() for result in results]).sum()
    for weight, gradient in zip(weights, torch.autograd.grad(total, weights, allow_unused=True), strict=True):
        weight.requires_grad_(gradient is not None)
