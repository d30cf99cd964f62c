"""A tiny CLIP that is tuned to tell red from blue."""

from collections.abc import Callable
from typing import Any

import pytest
from toys.clip import tiny_clip
from toys.tuning import NAMES, shown_colours


@pytest.fixture(scope="session")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Images as tuning takes them, and their labels."""
    return shown_colours(tmp_path_factory.mktemp("colours"))


@pytest.fixture
def tuned(colours: Any) -> Callable[..., Any]:
    """A model that has turned to the two colours."""
    from densevl.regions.embedders.marked_images import MarkedImages
    from densevl.training.tuning.looks import clip_of, looks_of
    from densevl.training.tuning.methods import Settings
    from densevl.training.tuning.model import Task, TunedCLIP

    def make(seed: int = 0, **changes: Any) -> Any:
        usual = {"tunables": ({"type": "singular-values"},), "optimizer": {"type": "AdamW", "lr": 0.01}, "steps": 10}
        settings = Settings(**{**usual, "batch": 4, **changes})
        embedder = MarkedImages(tiny_clip().eval(), ["crop"])
        model = TunedCLIP(clip_of(embedder), settings, seed=seed)
        shown, labels = colours
        looks = looks_of(embedder, shown, "image" in model.tuned_towers, settings.crop, settings.flip, settings.views)
        model.turn_to(Task(looks, labels, NAMES))
        return model

    return make
