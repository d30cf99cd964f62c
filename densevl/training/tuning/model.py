"""An encoder that is tuned, as MMEngine runs it: tunables, what stands for names, and what is made small.

Source: the loss of CLIP's classes, ``CE(s x · t)`` with unit vectors x of examples and t of names, and whatever a
method adds to it (``densevl/data/tuning.json``). What a step computes of the encoder is computed by the code of
inference, with gradients (:mod:`densevl.core.gradients`); what no tunable changes is computed once.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from torch import Tensor, nn

from densevl.core.delta import Delta
from densevl.core.errors import UsageError
from densevl.core.gradients import gradients
from densevl.core.registry import build
from densevl.encoders.clip import CLIPEncoder
from densevl.encoders.tuning.attached import built, delta_of
from densevl.encoders.tuning.contracts import ClassTexts, Look
from densevl.training.tuning.contracts import Looks, Loss, Step
from densevl.training.tuning.losses import LOSSES
from densevl.training.tuning.methods import Settings

__all__ = ["Task", "TunedCLIP", "copied", "optimizer_of"]


class Task:
    """What an encoder is tuned for: looks at examples, their classes, and the names of these.

    Args:
        looks: at the examples.
        labels: class of each; None where no method may read one.
        names: of the classes.
        before: looks at the same examples by the encoder as it was, for losses that compare with it.
        texts_before: unit vectors of the names by the encoder as it was.
        descriptions: unit vectors of texts that describe each class, by the encoder as it was, for losses that read
            them.
        old: number of the classes of earlier sessions, which come first.
    """

    def __init__(
        self,
        looks: Looks,
        labels: Sequence[int] | None,
        names: Sequence[str],
        before: Looks | None = None,
        texts_before: Float[Tensor, "k d"] | None = None,
        descriptions: Float[Tensor, "k m d"] | None = None,
        old: int = 0,
    ) -> None:
        self.old = old
        self.looks, self.names, self.before, self.texts_before = looks, tuple(names), before, texts_before
        self.labels: Int[Tensor, " n"] | None = None if labels is None else torch.tensor(list(labels))
        self.descriptions = descriptions


@MODELS.register_module()
class TunedCLIP(BaseModel):
    """An encoder with tunables and losses; its parameters, its state and checkpoints are those of both alone.

    Args:
        encoder: it is changed; give a copy of one that is used elsewhere.
        settings: what is tuned, and what is made small.
        templates: what names are set into, where the encoder's own texts stand for them.
        temperature: factor of cosines, where the settings name none.
        seed: of what is drawn: prompts at first, and what is changed in images.

    Attributes:
        tunables: all that a delta holds, class texts the last of them.
        class_texts: what stands for names; None for the encoder's own texts.
        tuned_towers: names of the towers that are tuned.
        base_id: identity of the encoder before.

    Raises:
        UsageError: where the encoder cannot be tuned so.
    """

    def __init__(
        self,
        encoder: CLIPEncoder,
        settings: Settings,
        templates: Sequence[str] = ("{}",),
        temperature: float | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.settings, self.seed = settings, seed
        self.templates = tuple(templates) if settings.template is None else (settings.template,)
        self.temperature = float(settings.temperature or temperature or encoder.temperature)
        # In a tuple: as a submodule the frozen encoder would be in every checkpoint and in the optimizer.
        self._encoder: tuple[CLIPEncoder] = (encoder.eval().requires_grad_(False),)
        self.base_id = encoder.model_id
        parts = [*settings.tunables, *([settings.class_texts] if settings.class_texts else [])]
        configs = [{name: value for name, value in part.items() if name != "rate"} for part in parts]
        self.rates = [float(part.get("rate", 1.0)) for part in parts]
        tunables: list[Any] = built(encoder, configs, seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._losses: list[Loss] = [build(LOSSES, loss) for loss in settings.losses]
        for tunable in tunables:
            tunable.attach(encoder)
        encoder.text_cache = None  # it is kept under the name of texts that change from now on
        self.tunables = nn.ModuleList(tunables).requires_grad_(True)
        self.learning_losses = nn.ModuleList([loss for loss in self._losses if isinstance(loss, nn.Module)])
        self.class_texts: ClassTexts | None = tunables[-1] if settings.class_texts else None
        self.tuned_towers = {tower for one in tunables for tower in one.towers}
        self.task: Task | None = None
        self.progress = 0.0
        self._texts: Tensor | None = None

    @property
    def encoder(self) -> CLIPEncoder:
        """The encoder that is tuned."""
        return self._encoder[0]

    @property
    def needs(self) -> set[str]:
        """What the losses need beside looks and texts."""
        return {need for loss in self._losses for need in loss.needs}

    @property
    def examples(self) -> int:
        """Number of examples of the task."""
        return len(self._task().looks)

    def turn_to(self, task: Task) -> None:
        """Take up a task, in the place of an earlier one; what was tuned stays.

        Raises:
            UsageError: where a loss needs what the task does not have.
        """
        for need, there in (("labels", task.labels), ("before", task.before), ("descriptions", task.descriptions)):
            if need in self.needs and there is None:
                raise UsageError(f"a loss of the method needs {WANTED[need]}, and there are none")
        self.task, self._texts = task, None
        for loss in self._losses:
            if hasattr(loss, "start"):
                loss.start(self.encoder)

    def init_weights(self) -> None:
        """Leave what was tuned as it is, in every session."""

    def forward(self, drawn: Sequence[tuple[int, int]], mode: str = "loss") -> dict[str, Tensor]:
        """The losses of a step.

        Args:
            drawn: of each example of the step its place, and the number that draws what is changed in its image.
            mode: unused; MMEngine passes it.

        Raises:
            UsageError: where a loss is not finite.
        """
        places, seeds = [place for place, _ in drawn], [seed for _, seed in drawn]
        with gradients():
            step = self.step(places, seeds)
            found: dict[str, Tensor] = {}
            for number, loss in enumerate(self._losses):
                found[f"loss_{number}_{LOSSES.name_of(loss) or type(loss).__name__}"] = loss(step)
        for name, value in found.items():
            if not torch.isfinite(value):
                raise UsageError(
                    f"{name} is {value.item()} after {self.progress:.0%} of the steps: tuning diverged; take a smaller "
                    f"learning rate than {self.settings.optimizer['lr']:g}: --set optimizer.lr=…"
                )
        return found

    def step(self, places: Sequence[int], seeds: Sequence[int | None]) -> Step:
        """A step as losses see it.

        Args:
            places: of the examples.
            seeds: of each, draws what is changed in its image; None for nothing.
        """
        task, needs = self._task(), self.needs
        states = self.class_texts is not None and self.class_texts.reads_states
        look = task.looks.look(places, seeds, self.settings.view, states)
        before = None
        if "before" in needs:
            assert task.before is not None
            assert task.texts_before is not None
            with torch.no_grad():
                before = (task.before.look(places, seeds).vectors, task.texts_before)
        views = {name.removeprefix("view:") for name in needs if name.startswith("view:")}
        strong = {"strong"} & needs
        seen = {view: task.looks.look(places, seeds, view, states) for view in sorted(views | strong)}
        labels = task.labels if task.labels is not None and "labels" in needs else None
        return Step(
            look,
            None if labels is None else labels[list(places)].to(look.vectors.device),
            self.texts(task.names, look),
            task.names,
            self.temperature,
            strong=seen.get("strong"),
            before=before,
            class_texts=self.class_texts,
            encoder=self.encoder,
            progress=self.progress,
            old=task.old,
            views=seen,
            descriptions=task.descriptions,
        )

    def texts(self, names: Sequence[str], look: Look | None = None) -> Float[Tensor, "k d"] | Float[Tensor, "b k d"]:
        """Unit vectors of classes, with gradients where they are tuned; made once where no tunable changes them.

        Args:
            names: of the classes.
            look: at the images, where the texts depend on them.
        """
        if self.class_texts is not None:
            return self.class_texts.class_vectors(names, look)
        if "text" in self.tuned_towers:
            return self.encoder.embed_texts(names, self.templates)
        if self._texts is None or len(self._texts) != len(names) or self._task().names != tuple(names):
            with torch.no_grad():
                self._texts = self.encoder.embed_texts(names, self.templates).detach()
        return self._texts

    def optimizer(self) -> torch.optim.Optimizer:
        """The optimizer of the settings, with the rate of each tunable.

        Raises:
            UsageError: where its type or one of its arguments is unknown.
        """
        lr = self.settings.optimizer["lr"]
        groups: list[dict[str, Any]] = [
            {"params": list(one.parameters()), "lr": lr * rate}
            for one, rate in zip(self.tunables, self.rates, strict=True)
        ]
        groups.append({"params": list(self.learning_losses.parameters())})
        return optimizer_of(self.settings, groups)

    def delta(self) -> Delta:
        """What the tunables have learnt."""
        tunables: list[Any] = list(self.tunables)
        return delta_of(tunables, self.base_id)

    def facts(self) -> Mapping[str, Any]:
        """What there is to tune: JSON values only."""
        return {
            "parameters": sum(one.numel() for one in self.tunables.parameters()),
            "towers": sorted(self.tuned_towers),
            "temperature": self.temperature,
        }

    def _task(self) -> Task:
        if self.task is None:
            raise UsageError("there is nothing to tune for; turn_to a task first")
        return self.task

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "TunedCLIP":
        """Move or convert the frozen encoder too."""
        self.encoder._apply(fn)
        return super()._apply(fn, recurse)


OPTIMIZERS = {"SGD": torch.optim.SGD, "Adam": torch.optim.Adam, "AdamW": torch.optim.AdamW}


def optimizer_of(settings: Settings, groups: Sequence[Mapping[str, Any]]) -> torch.optim.Optimizer:
    """The optimizer of settings.

    Args:
        settings: of a method.
        groups: of parameters, as torch takes them; empty ones are left out.

    Raises:
        UsageError: where its type or one of its arguments is unknown.
    """
    arguments = dict(settings.optimizer)
    kind = OPTIMIZERS.get(arguments.pop("type", "AdamW"))
    if kind is None:
        raise UsageError(f"optimizer.type of tuning is one of {', '.join(OPTIMIZERS)}; got {settings.optimizer}")
    try:
        return kind([dict(group) for group in groups if group["params"]], **arguments)
    except (TypeError, ValueError) as error:
        raise UsageError(f"optimizer of tuning: {error}") from None


WANTED = {
    "labels": "examples with names",
    "before": "the encoder as it was",
    "descriptions": "texts that describe the classes; give --descriptions FILE, a JSON of a list for each name",
}


def copied(module: Any) -> Any:
    """A copy of a module that may be changed, and that keeps no texts on disk."""
    made = copy.deepcopy(module)
    for one in made.modules():
        if hasattr(one, "text_cache"):
            one.text_cache = None
    return made
