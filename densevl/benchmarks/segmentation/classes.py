"""The classes of a data set, made those of the model that is tested on it by mmsegmentation's own runner."""

import warnings
from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS

from densevl.core.errors import UsageError

__all__ = ["AskDatasetClasses"]


@HOOKS.register_module()
class AskDatasetClasses(Hook):
    """Ask the model for the classes of the data set, unless its config names a vocabulary; that must fit then.

    Labels are compared by their number, so a vocabulary of another length is refused. Other words for the classes are
    what an open vocabulary is for; the first that differs is named in a warning.
    """

    def before_test(self, runner: Any) -> None:
        """Hand over the classes, or compare them.

        Raises:
            UsageError: where the data set has none, or the vocabulary of the model has another number of them.
        """
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        model = getattr(model, "module", model)  # a model of augmented test time holds the model
        meta = getattr(runner.test_dataloader.dataset, "metainfo", {})
        names = tuple(meta.get("classes") or ())
        if not names:
            raise UsageError("the data set has no classes in its metainfo; name them in the config: model.vocabulary")
        if not model.named:
            model.dataset_meta = {"classes": names, "palette": meta.get("palette")}
            return
        asked = model.vocabulary.names
        if len(asked) != len(names):
            raise UsageError(
                f"the vocabulary {model.vocabulary.name!r} of the model has {len(asked)} classes, the data set "
                f"{len(names)}; name the same vocabulary in both"
            )
        differing = [pair for pair in zip(asked, names, strict=True) if pair[0] != pair[1]]
        if differing:
            warnings.warn(
                f"{len(differing)} classes of the model have other names in the data set, such as "
                f"{differing[0][0]!r}, there {differing[0][1]!r}",
                stacklevel=2,
            )
