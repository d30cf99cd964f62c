"""The methods of tuning, which are data: which numbers are tuned, what stands for names, what is made small, and how.

``densevl/data/tuning.json`` holds an entry a method. Its ``settings`` are the published ones; ``mini`` holds what the
mini models need otherwise, which were made for scenes.
"""

import math
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from densevl.core.errors import UsageError, shortened, suggestion
from densevl.core.files import parse_json

__all__ = ["Settings", "changed", "method_settings", "methods", "of_orders", "with_sessions"]


@dataclass(frozen=True)
class Settings:
    """How tuning is done.

    Attributes:
        tunables: config of each; ``rate`` is a factor of the learning rate of one.
        class_texts: config of what stands for the names of classes; None for the encoder's own texts.
        losses: config of each.
        optimizer: ``type``, one of SGD, Adam and AdamW, and its arguments.
        schedule: ``type`` cosine or constant; ``warmup_epochs`` or ``warmup_steps`` at first, at the rate ``warmup_lr``
            or, without it, rising to the whole.
        batch: examples a step, of all processes together.
        steps: how many there are; or
        epochs: how often each example is seen; or
        steps_per_shot: steps for each example of the largest class.
        template: what names are set into, where the encoder's own texts are tuned; None for the model's own.
        crop: least and greatest part of an image that is seen in a step; None for all of it.
        flip: show the mirror image half of the time.
        views: looks at each example that are made once, where the image tower is not tuned; the first is unchanged.
        temperature: factor of cosines while tuning; None for the model's own.
        view: how images are changed in a step, one of :data:`densevl.training.tuning.views.VIEWS`; None for parts and
            mirror images of them.
        unlabelled: where labels are made and none is read, the ``guide`` that makes them, ``epochs``, and whether
            logits are ``centred`` first, the mean of each class over the examples taken away; None where names are
            read.
        sessions: how it goes on with new classes; None for a method that cannot. ``scaled`` are the beginnings of the
            names of parameters whose gradients are multiplied by the share of new classes, from the second session on.
    """

    tunables: tuple[Mapping[str, Any], ...] = ()
    class_texts: Mapping[str, Any] | None = None
    losses: tuple[Mapping[str, Any], ...] = ({"type": "cross-entropy"},)
    optimizer: Mapping[str, Any] = field(default_factory=lambda: {"type": "AdamW", "lr": 5e-4})
    schedule: Mapping[str, Any] = field(default_factory=lambda: {"type": "constant"})
    batch: int = 32
    steps: int | None = None
    epochs: int | float | None = None
    steps_per_shot: int | None = None
    template: str | None = None
    crop: tuple[float, float] | None = (0.08, 1.0)
    flip: bool = True
    views: int = 8
    temperature: int | float | None = None
    view: str | None = None
    unlabelled: Mapping[str, Any] | None = None
    sessions: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        _check(self)

    def length(self, examples: int, shots: int) -> int:
        """Number of steps.

        Args:
            examples: of all classes.
            shots: examples of the largest class.
        """
        if self.steps is not None:
            return self.steps
        if self.epochs is not None:
            return max(1, math.ceil(self.epochs * examples / self.batch))
        return (self.steps_per_shot or 0) * shots

    @property
    def facts(self) -> dict[str, Any]:
        """Every setting that is not None: JSON values only."""
        pairs = ((name, getattr(self, name)) for name in self.__dataclass_fields__)
        found = {name: list(value) if isinstance(value, tuple) else value for name, value in pairs if value is not None}
        return deepcopy(found)


LENGTHS = ("steps", "epochs", "steps_per_shot")


@cache
def methods() -> Mapping[str, Mapping[str, Any]]:
    """The entries by name."""
    return parse_json((files("densevl") / "data" / "tuning.json").read_text(encoding="utf-8"))


def with_sessions() -> list[str]:
    """Names of the methods that go on with new classes, in sessions."""
    return sorted(name for name, entry in methods().items() if entry["settings"].get("sessions") is not None)


def of_orders() -> list[str]:
    """Names of the methods that learn an order from scores, not classes."""
    kinds = {name: {part["type"] for part in entry["settings"]["tunables"]} for name, entry in methods().items()}
    return sorted(name for name, own in kinds.items() if "rank-adapter" in own)


def method_settings(name: str, model_id: str = "", changes: Mapping[str, Any] | None = None) -> Settings:
    """The settings of a method.

    Args:
        name: of the method.
        model_id: identity of the encoder; those that begin with ``mini`` take what the entry says for them.
        changes: dotted paths and their new values, such as ``{"optimizer.lr": 0.01, "steps": 100}``.

    Raises:
        UsageError: where the method or a setting is unknown, or a value has no meaning.
    """
    if name not in methods():
        raise UsageError(f"method {name!r} is unknown; {suggestion(name, methods())}")
    entry = methods()[name]
    config = dict(deepcopy(entry["settings"]))
    if model_id.startswith("mini"):
        config = changed(config, entry.get("mini", {}))
    return _settings(changed(config, changes or {}))


def changed(config: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with changes; one that says how long tuning lasts takes the place of the others.

    Args:
        config: the settings.
        changes: dotted paths and their new values.

    Raises:
        UsageError: where a path leads nowhere.
    """
    found: dict[str, Any] = deepcopy(dict(config))
    for path, value in changes.items():
        first, *rest = path.split(".")
        if first not in Settings.__dataclass_fields__:
            raise UsageError(
                f"setting {path!r} of tuning is unknown; {suggestion(first, Settings.__dataclass_fields__)}"
            )
        if first in LENGTHS:
            found.update(dict.fromkeys(LENGTHS))
        if not rest:
            found[first] = value
            continue
        holder: Any = found.get(first)
        for step in rest[:-1]:
            holder = _inside(holder, step, path)
        last = rest[-1]
        if isinstance(holder, list | tuple):
            raise UsageError(f"setting {path!r} of tuning: name what is changed in it, such as {path}.weight=2")
        if not isinstance(holder, dict):
            raise UsageError(f"setting {path!r} of tuning leads nowhere: this method has no {first}")
        holder[last] = value
    return found


def _inside(holder: Any, step: str, path: str) -> Any:
    if isinstance(holder, list | tuple) and step.isdecimal() and int(step) < len(holder):
        return holder[int(step)]
    if isinstance(holder, dict) and isinstance(holder.get(step), dict | list):
        return holder[step]
    raise UsageError(f"setting {path!r} of tuning leads nowhere at {step!r}")


def _settings(config: Mapping[str, Any]) -> Settings:
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in config.items()
    }
    unknown = sorted({*values} - {*Settings.__dataclass_fields__})
    if unknown:
        raise UsageError(
            f"setting {unknown[0]!r} of tuning is unknown; {suggestion(unknown[0], Settings.__dataclass_fields__)}"
        )
    return Settings(**values)


def _check(settings: Settings) -> None:
    """Refuse values without a meaning.

    Raises:
        UsageError: where there is one.
    """
    given = [name for name in LENGTHS if getattr(settings, name) is not None]
    if len(given) != 1:
        raise UsageError(f"give one of {', '.join(LENGTHS)} of tuning; got {', '.join(given) or 'none'}")
    for name in (*given, "batch", "views"):
        value = getattr(settings, name)
        if (
            not isinstance(value, int | float)
            or isinstance(value, bool)
            or value <= 0
            or (name != "epochs" and value != int(value))
        ):
            raise UsageError(f"{name} of tuning is a number above 0; got {value!r}")
    lr = settings.optimizer.get("lr") if isinstance(settings.optimizer, Mapping) else None
    if not isinstance(lr, int | float) or not 0 < lr < math.inf:
        raise UsageError(f"optimizer.lr of tuning is a number above 0; got {lr!r}")
    crop = settings.crop
    if crop is not None and not (len(crop) == 2 and 0 < crop[0] <= crop[1] <= 1):
        raise UsageError(
            f"crop of tuning is the least and the greatest part seen, in (0, 1]; got {shortened(repr(crop))}"
        )
    if settings.template is not None and "{}" not in settings.template:
        raise UsageError(f"template {settings.template!r} of tuning has no place for the class name; put {{}} there")
    if not settings.tunables and settings.class_texts is None:
        raise UsageError("the method tunes nothing: it has neither tunables nor class_texts")
    if not settings.losses:
        raise UsageError("the method makes nothing small: it has no losses")
