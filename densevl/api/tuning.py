"""What a model does to be tuned: a few numbers inside its encoder are fitted to examples."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from densevl.api.teaching import TeachableModel
from densevl.api.tuning_kinds import HELD_OUT
from densevl.classifiers.classes import Classes
from densevl.datasets.examples import ExamplesLike

if TYPE_CHECKING:  # what trains is imported when something is tuned
    from densevl.api.tuned import Tuned
    from densevl.api.tuning_labels import Descriptions

__all__ = ["TunableModel"]


class TunableModel(TeachableModel):
    """The part of :class:`densevl.Model` that is tuned; the model itself stays as it was."""

    def tune(
        self, examples: ExamplesLike, *, method: str = "clip-svd", kind: str = "regions", **options: Any
    ) -> Classes:
        """Classes for which a few numbers inside the encoder were tuned; save them, and any command takes them.

        The model stays as it was. ``densevl.load(NAME, **{"encoder.delta": FILE})`` loads it as it was tuned.

        Args:
            examples: as for :meth:`teach`.
            method: one of the methods of tuning, such as ``"clip-svd"`` or ``"coop"``.
            kind: ``"regions"``, ``"images"`` for whole images, or ``"pixels"``.
            options: of :meth:`tuned`: ``settings``, ``seed``, ``held_out``, ``work_dir``, ``resume``, ``amp``,
                ``names``, ``descriptions``, ``sessions``.

        Raises:
            ImageError: where an image cannot be read.
            UsageError: where examples, method or settings cannot be used, or tuning diverges.
            OutputError: where the folder cannot be written.
        """
        return self.tuned(examples, method=method, kind=kind, **options).classes

    def tuned(
        self,
        examples: ExamplesLike,
        *,
        method: str = "clip-svd",
        kind: str = "regions",
        settings: Mapping[str, Any] | None = None,
        seed: int = 0,
        held_out: int | float = HELD_OUT,
        work_dir: str | Path | None = None,
        resume: bool = False,
        amp: bool = False,
        fold: bool = False,
        loaded: Mapping[str, Any] | None = None,
        sessions: Any = None,
        names: Sequence[str] | None = None,
        descriptions: "Descriptions | None" = None,
    ) -> "Tuned":
        """As :meth:`tune`, with the tuned encoder and what the classes say of held-out examples.

        Args:
            examples: as for :meth:`teach`.
            method: one of the methods of tuning.
            kind: ``"regions"``, ``"images"`` for whole images, or ``"pixels"``.
            settings: dotted paths and their values, such as ``{"optimizer.lr": 0.01, "steps": 100}``.
            seed: of the order of the examples, of what is changed in them, and of what is drawn at first.
            held_out: part of the images that is kept out to judge and to calibrate by, as far as each class keeps four
                examples to learn from; 0 for none.
            work_dir: where checkpoints and logs go; None for nowhere.
            resume: go on from the last checkpoint of the folder, where there is one.
            amp: compute in bfloat16 where that is safe.
            fold: write what was learnt into the weights of the tuned encoder.
            loaded: further arguments that loaded the model, so that the classes say which model they are for.
            sessions: where the classes come one group after the other, the number of groups, the classes of each, or a
                JSON file of them; or a :class:`densevl.api.sessions.SessionRun`, which also measures. A run is resumed
                behind its last session.
            names: of the classes, for methods that read no labels (NoLA); examples may then be a folder of images. None
                for the names that the examples have.
            descriptions: texts by the names of classes, or a JSON file of them, for methods that read some.

        Raises:
            ImageError: as :meth:`tune`, as are the others.
            UsageError: and where what was learnt cannot be said by plain weights, before anything is learnt.
        """
        from densevl.api.sessions import SessionRun
        from densevl.api.tuned import tuned

        if sessions is not None and not isinstance(sessions, SessionRun):
            sessions = SessionRun(sessions, method)
        return tuned(
            self,
            examples,
            method=method,
            kind=kind,
            settings=settings,
            seed=seed,
            held_out=held_out,
            work_dir=work_dir,
            resume=resume,
            amp=amp,
            fold=fold,
            loaded=loaded,
            sessions=sessions,
            names=names,
            descriptions=descriptions,
        )
