"""The one builder: from a name or a config, with changes, to a model whose components are built when they are used.

For example::

    load("dinoiser", gamma=0.3, **{"refiners.0.weights": "heads.safetensors"})  # changes, see densevl.api.changes
    load("maskclip@clip-vit-l14-openai")                                        # a head on another encoder

An encoder that several components name with the same settings is built once, and so is the mask maker.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from densevl.api.changes import TYPES, arguments_of, changed, named_config
from densevl.api.dtypes import choose_dtype, place, torch_dtype
from densevl.api.model import Model
from densevl.api.models import COMPONENTS, ModelEntry, default_model, named_model, weights_in
from densevl.classifiers.familiarity import Familiarity
from densevl.core.errors import UsageError, shortened
from densevl.core.lazy import Lazy
from densevl.core.registry import build
from densevl.core.vocabulary import templates
from densevl.encoders import ENCODERS
from densevl.regions.embedders import REGION_EMBEDDERS
from densevl.regions.mask_makers import MASK_MAKERS
from densevl.regions.mask_makers.maker import MaskMaker
from densevl.tasks.grounding import GROUNDERS
from densevl.tasks.segmentation import SEGMENTORS
from densevl.weights import MissingWeights, is_cached, weights_entry
from densevl.weights.opened import open_weights

__all__ = ["Loading", "choose_device", "load"]

SHARED = ("readout", "short_side", "long_side", "positions", "border")
"""Settings of the segmentor that a region embedder shares, where it takes arguments of these names."""


def load(
    name: str | Mapping[str, Any] | None = None,
    *,
    weights: str | Path | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype = "float32",
    offline: bool = False,
    lazy: bool = False,
    **changes: Any,
) -> Model:
    """Load a model.

    Args:
        name: a name from ``densevl models``; ``HEAD@ENCODER``, such a name with other weights of the encoder, by their
            name in the weights table; or a config: that of a segmentor, or of a grounder, or of several components
            under ``segmentor``, ``grounder``, ``embedder`` and ``mask_maker``. None takes ``dinoiser``, or
            ``maskclip`` where the network is not to be used and only its weights are here.
        weights: of the encoder, in the place of the model's own: a file of the same architecture, a name of the weights
            table, or ``random:SEED`` for weights that mean nothing but take the same time. What was trained on the
            encoder, such as DINOiser's heads, is random then, too.
        device: where to run; None takes a GPU where there is one.
        dtype: that is computed in: ``"float32"``, ``"bfloat16"``, ``"float16"``, ``"int8"`` or ``"auto"``. In int8 the
            linear layers of image towers multiply integers, on CPUs with instructions for that, and the rest is
            bfloat16; ``"auto"`` takes the fastest dtype of floats that keeps labels. What is taken instead is said.
        offline: never reach for the network; a missing file is an error that tells where to put it.
        lazy: also build the segmentor, or the grounder of a model without one, only when it is first used, as it is
            always done with the other components.
        changes: dotted paths or unique names, and their values; see :mod:`densevl.api.changes`. A component or a
            member is replaced by its registered name or a config, such as ``readout="naclip"``; a mask maker also by
            the weights of a SAM, as in ``mask_maker="sam-vit-b"``.

    Raises:
        UsageError: where the name, the device, the dtype or a change is unknown.
        WeightsError: where the weights are missing, damaged or of another model.
    """
    if name is None:
        name, _ = default_model(offline)
    entry, encoder = _entry(name)
    called = entry.name if encoder is None else str(name)
    known = called if isinstance(name, str) and weights is None and not changes else None  # to `densevl fetch`
    if encoder is not None:
        changes = {"encoder": {"type": "clip", "weights": encoder}, **changes}
    if weights is not None:
        whole = {name: value for name, value in changes.items() if "." not in name}
        changes = {**whole, "encoder.weights": str(weights), **changes}  # inner changes come after the weights
    place_of = choose_device(device)
    made = _Components(changed(entry, changes), place_of, choose_dtype(dtype, place_of), offline, known)
    model = Model(
        made.segmentor if "segmentor" in made.config else None,
        called,
        made.grounder if "grounder" in made.config else None,
        made.embedder,
        made.mask_maker,
        made.templates,
        Lazy(lambda: _known(entry.known, model)),
    )
    if not lazy:
        _ = model.segmentor if "segmentor" in made.config else model.grounder
    return model


@dataclass(frozen=True)
class Loading:
    """How a model is loaded, to be done again in another process.

    Attributes:
        name: as :func:`load` takes it.
        arguments: further ones of :func:`load`, the changes among them.
    """

    name: str | Mapping[str, Any] | None
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def load(self) -> Model:
        """The model.

        Raises:
            DensevlError: as :func:`load` does.
        """
        return load(self.name, **self.arguments)


def _known(config: Mapping[str, Any], model: Model) -> Familiarity | None:
    """What tells the images that a model knows from others; None where its encoder is not the one that it is made for.

    Raises:
        WeightsError: where the statistics are missing or damaged.
    """
    if not config:
        return None
    opened = open_weights(config["weights"])
    known = Familiarity.of_state(opened.state, opened.metadata, opened.path)
    return known if model.encoder_id == known.model_id else None


def choose_device(device: str | torch.device | None) -> torch.device:
    """The device of a name, or a GPU where there is one.

    Raises:
        UsageError: where it is unknown or cannot be used here.
    """
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError, ValueError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"device {str(device)!r} cannot be used here ({reason}); try `cpu`") from None
    return chosen


def _entry(name: str | Mapping[str, Any]) -> tuple[ModelEntry, str | None]:
    """The entry of a name or a config, and the weights behind the ``@`` of a name."""
    if isinstance(name, str):
        return named_model(name)
    if not isinstance(name, Mapping) or not all(isinstance(part, str) for part in name):
        raise UsageError(f"expected the name of a model or its config; got {shortened(repr(name))}")
    config = dict(name)
    if not set(config) & {"segmentor", "grounder", "embedder"}:
        config = {"grounder" if "embedders" in config else "segmentor": config}
    elif "encoder" in config:  # a segmentor by regions has an argument `embedder`
        config = {"segmentor": config}
    unknown = set(config) - set(COMPONENTS)
    if unknown:
        raise UsageError(f"a model is made of {', '.join(COMPONENTS)}; got {', '.join(sorted(unknown))}")
    return ModelEntry("custom", **{part: named_config(part, value) for part, value in config.items()}), None


class _Components:
    """Builds the components of a model, each when it is first used.

    Where a model names no region embedder, it is that of its segmentor or of its grounder; a segmentor without regions
    lends its features, which are pooled over each region.
    """

    def __init__(
        self, config: dict[str, Any], device: torch.device, dtype: str, offline: bool, name: str | None
    ) -> None:
        self.name = name
        self.config = _offline(config) if offline else config
        self.device, self.dtype = device, dtype
        self.segmentor, self.grounder = self._lazy("segmentor"), self._lazy("grounder")
        self.embedder, self.mask_maker = self._lazy("embedder"), self._lazy("mask_maker")
        self._encoders: dict[str, Any] = {}

    @property
    def templates(self) -> tuple[str, ...]:
        """The texts that a query is set into, as the segmentor does it, or the grounder."""
        if "segmentor" in self.config:
            return tuple(templates(_settings("segmentor", self.config["segmentor"]).get("templates", "imagenet80")))
        if "grounder" not in self.config:
            return ("{}",)
        return (_settings("grounder", self.config["grounder"]).get("template", "a photo of {}"),)

    def _lazy(self, part: str) -> Lazy[Any]:
        """A component that is built when it is first used; weights that cannot be had are named all at once."""

        def make() -> Any:
            try:
                return getattr(self, f"_{part}")()
            except MissingWeights as error:
                named = map(weights_entry, weights_in(self.config.get(part, ())))
                missing = [entry for entry in named if not is_cached(entry)]
                if len(missing) < 2:
                    raise
                raise MissingWeights(missing, error.why, self.name) from None

        return Lazy(make)

    def _segmentor(self) -> Any:
        if "segmentor" not in self.config:
            return None
        config = {"type": TYPES["segmentor"], **_settings("segmentor", self.config["segmentor"])}
        if "encoder" not in config:
            raise UsageError("a segmentor needs an encoder, such as encoder={'type': 'clip', 'weights': 'mini-clip'}")
        return self._placed(build(SEGMENTORS, {**config, "encoder": self._encoder(config["encoder"])}))

    def _mask_maker(self) -> Any:
        own = getattr(self.segmentor.value, "mask_maker", None)
        config = self.config.get("mask_maker")
        config = self.config.get("grounder", {}).get("mask_maker") if config is None else config
        if own is not None or config is None:
            return own
        made = build(MASK_MAKERS, self._with_encoder(config))
        if not isinstance(made, MaskMaker):
            raise UsageError(f"mask_maker: expected a name, a config or a mask maker; got {shortened(repr(config))}")
        return made.to(self.device, torch_dtype(self.dtype))

    def _grounder(self) -> Any:
        if "grounder" not in self.config:
            return None
        config = {"type": TYPES["grounder"], **_settings("grounder", self.config["grounder"])}
        if not isinstance(config.get("embedders", []), list | tuple):
            raise UsageError(f"embedders are a list of region embedders; got {shortened(repr(config['embedders']))}")
        config["embedders"] = [self._with_encoder(one) for one in config.get("embedders", ())]
        if "detector" in config:
            config["detector"] = self._with_encoder(config["detector"])
        grounder = self._placed(build(GROUNDERS, {**config, "mask_maker": None}))
        grounder.mask_maker = self.mask_maker.value  # last: an error is said before weights are fetched
        return grounder

    def _embedder(self) -> Any:
        config = self.config.get("embedder")
        own = getattr(self.segmentor.value, "embedder", None)
        if config is None and own is not None:
            return own
        if config is None and self.segmentor.value is None:
            config = self.config["grounder"]["embedders"][0]
        if config is not None and not isinstance(config, Mapping):
            return config
        config = config or {"type": "mask-pooling"}
        return self._placed(build(REGION_EMBEDDERS, self._with_encoder({**self._lent(config), **config}))).eval()

    def _placed(self, module: Any) -> Any:
        return place(module, self.device, self.dtype)

    def _lent(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Settings that the other components lend a region embedder."""
        segmentor = self.segmentor.value
        if segmentor is None:
            return {"encoder": self.config["grounder"]["embedders"][0]["encoder"]}
        own = self.config["segmentor"]
        lent = {name: own[name] for name in SHARED if name in own}
        lent["refiners"] = list(segmentor.refiners)
        taken = arguments_of(REGION_EMBEDDERS, config["type"])
        return {"encoder": segmentor.encoder, **{name: value for name, value in lent.items() if name in taken}}

    def _with_encoder(self, config: Any) -> Any:
        """The config of an embedder or a mask maker with its encoder built once for all; what is built, as it is."""
        encoder = config.get("encoder") if isinstance(config, Mapping) else None
        return {**config, "encoder": self._encoder(encoder)} if isinstance(encoder, Mapping) else config

    def _encoder(self, config: Any) -> Any:
        if not isinstance(config, Mapping):
            return config
        key = json.dumps(config, sort_keys=True, default=str)
        if key not in self._encoders:
            self._encoders[key] = build(ENCODERS, config)
        return self._encoders[key]


def _settings(part: str, config: Any) -> Mapping[str, Any]:
    """The config of a component.

    Raises:
        UsageError: where it is something else.
    """
    if not isinstance(config, Mapping):
        raise UsageError(f"a {part} is a name or a config with settings; got {shortened(repr(config))}")
    return config


def _offline(config: Any) -> Any:
    """A config that reaches for no network where it, or a config inside it, names weights."""
    if isinstance(config, list):
        return [_offline(value) for value in config]
    if not isinstance(config, Mapping):
        return config
    inner = {key: _offline(value) for key, value in config.items()}
    return {**inner, "offline": True} if isinstance(config.get("weights"), str | Path) else inner
