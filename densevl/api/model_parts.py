"""The parts of a model by name: segmentor, grounder, region embedder and mask maker, each built when it is first used.

An encoder that several parts name with the same settings is built once, and so is the mask maker.
"""

import inspect
import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch

from densevl.api.grounder_building import build_grounder
from densevl.api.models import ModelEntry
from densevl.api.part_settings import offline_settings, torch_dtype, with_prompter, with_weights
from densevl.api.segmentor_building import build_segmentor
from densevl.core.errors import UsageError, suggestion
from densevl.core.registry import ENCODERS, GROUNDERS, MASK_MAKERS, REGION_EMBEDDERS, SEGMENTORS, build
from densevl.core.vocabulary import templates
from densevl.regions.embedders import RegionEmbedder
from densevl.regions.mask_makers import MaskMaker
from densevl.tasks.grounding import Grounder
from densevl.weights import weights_table

__all__ = ["ModelParts"]

FROM_SEGMENTOR = ("readout", "short_side", "long_side")
"""Settings of the segmentor that an embedder shares, where it takes arguments of these names."""


class ModelParts:
    """Builds the parts of a model.

    Where a model names no region embedder, it is that of its segmentor or of its grounder; a segmentor without regions
    lends its features, which are pooled over each region.

    Args:
        entry: the settings.
        device: where the parts run.
        weights: of the encoder, in the place of the model's own.
        dtype: of the weights.
        offline: never reach for the network.
        overrides: arguments in the place of the model's own: each goes to every part that takes one of its name.
            ``mask_maker`` and ``embedder`` replace these parts, by name or by settings; a mask maker may be named by
            the weights of a SAM, such as ``sam-vit-b``.

    Raises:
        UsageError: where the dtype is unknown, or no part takes an override.
    """

    def __init__(
        self,
        entry: ModelEntry,
        device: torch.device,
        weights: str | None = None,
        dtype: str | torch.dtype = "float32",
        offline: bool = False,
        overrides: Mapping[str, Any] | None = None,
    ) -> None:
        self.entry, self.device, self.weights, self.offline = entry, device, weights, offline
        self.dtype = torch_dtype(dtype)
        self._changes = _shared_out(entry, dict(overrides or {}))
        self._encoders: dict[str, Any] = {}

    @property
    def templates(self) -> tuple[str, ...]:
        """The texts that a query is set into, as the segmentor does it, or the grounder."""
        if self.entry.segmentor:
            name = {**self.entry.segmentor, **self._changes["segmentor"]}.get("templates", "imagenet80")
            return tuple(templates(name))
        settings = {**self.entry.grounder, **self._changes["grounder"]}
        return (settings.get("template", "a photo of {}") if settings else "{}",)

    @cached_property
    def segmentor(self) -> Any:
        """What labels pixels; None where the model has none."""
        if not self.entry.segmentor:
            return None
        changes = self._changes["segmentor"]
        return build_segmentor(self.entry.segmentor, self.weights, self.dtype, self.offline, **changes).to(self.device)

    @cached_property
    def mask_maker(self) -> MaskMaker | None:
        """What proposes regions and makes masks; None where the model has none."""
        own = getattr(self.segmentor, "mask_maker", None)
        settings = self._changes["mask_maker"].get("mask_maker", self.entry.grounder.get("mask_maker"))
        if own is not None or settings is None:
            return own
        maker: MaskMaker = build(MASK_MAKERS, offline_settings(settings) if self.offline else settings)
        return maker.to(self.device, self.dtype) if hasattr(maker, "to") else maker

    @cached_property
    def grounder(self) -> Grounder | None:
        """What finds the region that an expression refers to; None where the model has none."""
        if not self.entry.grounder:
            return None
        settings = {**self.entry.grounder, **self._changes["grounder"], "mask_maker": None}
        if self.weights is None and "embedders" not in self._changes["grounder"]:
            settings["embedders"] = [self._with_encoder(one) for one in settings["embedders"]]
        prompter = settings.pop("prompter", None)
        grounder = build_grounder(settings, self.weights, self.dtype, self.offline, prompter).to(self.device)
        grounder.mask_maker = self.mask_maker  # last: what cannot be used is said before its weights are fetched
        return grounder

    @cached_property
    def embedder(self) -> RegionEmbedder:
        """What turns regions into vectors."""
        changes = dict(self._changes["embedder"])
        settings = changes.pop("embedder", self.entry.embedder)
        own = getattr(self.segmentor, "embedder", None)
        if own is not None and not settings and not changes:
            return own
        settings = settings or _usual_embedder(self.entry)
        if not isinstance(settings, Mapping):
            return settings
        settings = with_prompter(settings, changes.pop("prompter", None), self.weights)
        settings = self._with_encoder({**self._lent(str(settings["type"])), **settings, **changes})
        return build(REGION_EMBEDDERS, settings).to(device=self.device, dtype=self.dtype).eval()

    def _lent(self, kind: str) -> dict[str, Any]:
        """What the other parts of the model lend an embedder of this type."""
        if self.segmentor is None:
            return {"encoder": self.entry.grounder["embedders"][0]["encoder"]}
        lent: dict[str, Any] = {name: self.entry.segmentor.get(name) for name in FROM_SEGMENTOR}
        lent = {name: value for name, value in lent.items() if name in self.entry.segmentor}
        lent["refiners"] = list(self.segmentor.refiners)
        taken = _arguments(REGION_EMBEDDERS, kind)
        lent = {name: value for name, value in lent.items() if name in taken}
        return {"encoder": self.segmentor.encoder, **lent}

    def _with_encoder(self, settings: Any) -> Any:
        """The settings of an embedder with its encoder built, once for all parts; a built embedder as it is."""
        encoder = settings.get("encoder") if isinstance(settings, Mapping) else None
        return {**settings, "encoder": self._encoder(encoder)} if isinstance(encoder, Mapping) else settings

    def _encoder(self, settings: Mapping[str, Any]) -> Any:
        if self.segmentor is not None and settings == self.entry.segmentor.get("encoder"):
            return self.segmentor.encoder
        key = json.dumps(settings, sort_keys=True)
        if key not in self._encoders:
            chosen = settings if self.weights is None else with_weights(settings, self.weights)
            self._encoders[key] = build(ENCODERS, offline_settings(chosen) if self.offline else chosen)
        return self._encoders[key]


def _shared_out(entry: ModelEntry, overrides: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The overrides of each part."""
    for name in ("embedder", "mask_maker"):
        if isinstance(overrides.get(name), str):
            overrides[name] = _named(overrides[name])
    embedder = overrides.get("embedder") or entry.embedder or _usual_embedder(entry)
    taken: dict[str, set[str]] = {"segmentor": set(), "grounder": set(), "embedder": {"embedder"}}
    if entry.segmentor:
        taken["segmentor"] = {"heads"} | _arguments(SEGMENTORS, entry.segmentor.get("type", "Segmentor"))
    if entry.grounder:
        taken["grounder"] = _arguments(GROUNDERS, "Grounder")
    if isinstance(embedder, Mapping):
        taken["embedder"] |= _arguments(REGION_EMBEDDERS, str(embedder.get("type")))
    taken["mask_maker"] = {"mask_maker"}
    for part, embedders in (
        ("segmentor", [entry.segmentor.get("embedder")]),
        ("grounder", entry.grounder.get("embedders", [])),
    ):
        if any(isinstance(one, Mapping) and one.get("type") == "prompter" for one in embedders):
            taken[part] |= {"prompter"}
    known = set().union(*taken.values())
    for name in overrides:
        if name not in known:
            raise UsageError(f"model {entry.name!r} takes no argument {name!r}; {suggestion(name, sorted(known))}")
    return {part: {name: overrides[name] for name in overrides if name in names} for part, names in taken.items()}


def _named(name: str) -> dict[str, Any]:
    """The settings of a part that is given by its name, or of a SAM by that of its weights."""
    return {"type": "sam", "weights": name} if name in weights_table() else {"type": name}


def _usual_embedder(entry: ModelEntry) -> Any:
    """The embedder of a model that names none."""
    if "embedder" in entry.segmentor:
        return entry.segmentor["embedder"]
    return {"type": "mask-pooling"} if entry.segmentor else entry.grounder["embedders"][0]


def _arguments(registry: Any, name: str) -> set[str]:
    """The names of the arguments that a registered class takes, those that it passes on to its bases included."""
    found = registry.get(name)
    if found is None:
        raise UsageError(f"{registry.name} {name!r} is unknown; {suggestion(name, sorted(registry.module_dict))}")
    names: set[str] = set()
    for makes in inspect.getmro(found) if inspect.isclass(found) else (found,):
        parameters = inspect.signature(makes).parameters.values()
        names |= {one.name for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)}
        if all(one.kind is not one.VAR_KEYWORD for one in parameters):
            break
    return names
