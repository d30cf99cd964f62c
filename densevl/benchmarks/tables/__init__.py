"""Tables of the README, each printed by one command: ``python tools/table.py NAME``."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from densevl.benchmarks.tables.benchmarks import benchmarks_table
from densevl.benchmarks.tables.cloc import cloc_table
from densevl.benchmarks.tables.compose import compose_table
from densevl.benchmarks.tables.continual import continual_table
from densevl.benchmarks.tables.contrast import contrast_table
from densevl.benchmarks.tables.dense import dense_table
from densevl.benchmarks.tables.dinoiser import dinoiser_table
from densevl.benchmarks.tables.dtypes import dtypes_table
from densevl.benchmarks.tables.encoders import encoders_table
from densevl.benchmarks.tables.frequency import frequency_table
from densevl.benchmarks.tables.lenses import lenses_table
from densevl.benchmarks.tables.photo_masks import photo_masks_table
from densevl.benchmarks.tables.photo_regions import photo_regions_table
from densevl.benchmarks.tables.photo_search import photo_search_table
from densevl.benchmarks.tables.probes import probes_table
from densevl.benchmarks.tables.ranking import ranking_table
from densevl.benchmarks.tables.referring import referring_table
from densevl.benchmarks.tables.search import search_table
from densevl.benchmarks.tables.sequences import sequences_table
from densevl.benchmarks.tables.shrink import shrink_table
from densevl.benchmarks.tables.teach import teach_table
from densevl.benchmarks.tables.teach_flips import teach_flips_table
from densevl.benchmarks.tables.teach_methods import methods_table
from densevl.benchmarks.tables.teach_pixels import teach_pixels_table
from densevl.benchmarks.tables.tune import tune_table
from densevl.core.errors import UsageError, suggestion
from densevl.metrics.table import Table

__all__ = ["DESCRIPTIONS", "TABLES", "Table", "measure"]

TABLES: dict[str, Callable[..., Table]] = {
    "benchmarks": benchmarks_table,
    "cloc": cloc_table,
    "compose": compose_table,
    "continual": continual_table,
    "contrast": contrast_table,
    "dense": dense_table,
    "dinoiser": dinoiser_table,
    "dtypes": dtypes_table,
    "encoders": encoders_table,
    "frequency": frequency_table,
    "lenses": lenses_table,
    "photo-masks": photo_masks_table,
    "photo-regions": photo_regions_table,
    "photo-search": photo_search_table,
    "probes": probes_table,
    "ranking": ranking_table,
    "referring": referring_table,
    "search": search_table,
    "sequences": sequences_table,
    "shrink": shrink_table,
    "teach": teach_table,
    "teach-flips": teach_flips_table,
    "teach-methods": methods_table,
    "teach-pixels": teach_pixels_table,
    "tune": tune_table,
}
"""Functions that measure the tables, by name."""

DESCRIPTIONS = {
    "benchmarks": "models on the benchmarks of label maps below --data: measured beside published, and images a second",
    "cloc": "CLOC's ablation: prompter, RoIAlign, pooling and crops under true and noisy boxes, three seeds each",
    "compose": "captions and queries of two things, told from the same words the other way round",
    "continual": "sessions of new colours: what tuning on and on forgets, by method, at equal accuracy on new classes",
    "contrast": "one class asked for alone, by what it is compared with, on held-out scenes of three seeds",
    "dense": "every dense head on the mini family: label maps of held-out scenes, time, and which published gain shows",
    "dinoiser": "gain of each refinement over MaskCLIP on held-out scenes, up to affinities of the true instances",
    "dtypes": "label maps of held-out scenes by the mini model in float32, bfloat16 and int8",
    "encoders": "encoders side by side, those of --models: on held-out scenes or, with --data, on photos",
    "frequency": "the mini CLIP shown new colours in 0 to 1000 images: how well each is known then",
    "lenses": "what the lenses find in the mini model: calibration, strangers, bias, cues, corruptions, matching",
    "photo-masks": "label maps of photos, with --data, by the model photo: each step from its raw maps to what it does",
    "photo-regions": "names of boxes on photos and expressions that mean one of them, with --data, by the model photo",
    "photo-search": "precision at 10 of photos found by names and by examples, with --data, by the model photo",
    "probes": "linear probes of dense features on scenes: presence, localisation, count, free space, beside colours",
    "ranking": "images and regions ordered by a text, on held-out scenes: the ranking-aware adapter beside cosines",
    "referring": "visual prompts that the mini CLIP can read: referring expressions on held-out scenes",
    "search": "precision of the first region that a text or an example finds, on held-out scenes",
    "sequences": "near misses among drawn sequences, taught by a few, beside one frame and colour histograms",
    "shrink": "the mini CLIP made smaller at once: label maps and time at several widths and depths",
    "teach": "classes taught by 1 to 16 regions of shifted scenes and of new colours, and what stays unknown",
    "teach-flips": "views and mirror images of 4 and 8 examples, on scenes, clean and in new colours",
    "teach-methods": "every method of teaching on regions of new colours and of shifted scenes",
    "teach-pixels": "pixels taught with masks: new colours on held-out scenes and, with --data, pictures of Cityscapes",
    "tune": "methods of tuning on noisy crops of scenes: few shots, base to new classes, time; --models names methods",
}

TRAINED = ("cloc", "frequency", "shrink")
"""Tables that train what they measure."""

PICTURES = ("benchmarks", "encoders", "photo-masks", "photo-regions", "photo-search", "teach-pixels")
"""Tables that also measure on pictures of a folder."""


COMPARED = ("benchmarks", "dense", "encoders", "tune")
"""Tables whose rows are models that somebody names; those of ``tune`` are methods."""

FURTHER = {
    "benchmarks": ("engine", "protocol", "sets", "weights", "limit", "out"),
    "continual": ("out",),
    "frequency": ("out",),
    "lenses": ("out",),
    "ranking": ("out",),
    "tune": ("out",),
}
"""Further settings that a table takes, by its name."""


def measure(
    name: str,
    scenes: int,
    steps: int | None = None,
    data: Path | None = None,
    models: Sequence[str] = (),
    **further: Any,
) -> Table:
    """Measure a table.

    Args:
        name: of :data:`TABLES`.
        scenes: number of held-out scenes.
        steps: of each training, in a table that trains; None for its own number.
        data: folder of pictures, for a table that measures on them; None for scenes alone.
        models: names of models, for a table that compares them; none for its own.
        further: settings of :data:`FURTHER`.

    Raises:
        UsageError: where there is no such table, no scene, or steps, pictures or models are given for a table that
            does not use them.
    """
    if name not in TABLES:
        raise UsageError(f"table {name!r} is unknown; {suggestion(name, TABLES)}")
    if scenes < 1:
        raise UsageError(f"scenes: a table is measured on at least one; got {scenes}")
    if steps is not None and (name not in TRAINED or steps < 1):
        raise UsageError(f"steps: at least one, for a table that trains ({', '.join(TRAINED)}); got {steps} for {name}")
    if data is not None and name not in PICTURES:
        raise UsageError(f"data: pictures are measured by {', '.join(PICTURES)}; got {data} for {name}")
    if models and name not in COMPARED:
        raise UsageError(f"models: they are compared by {', '.join(COMPARED)}; got {', '.join(models)} for {name}")
    if "engine" in further and "engine" not in FURTHER.get(name, ()):
        raise UsageError(f"--workers, --ray and --log are options of benchmarks; {name} is measured in one process")
    if unknown := [key for key in further if key not in FURTHER.get(name, ())]:
        tables = [other for other, keys in FURTHER.items() if unknown[0] in keys]
        raise UsageError(f"{unknown[0]}: a setting of {', '.join(tables) or 'no table'}; got it for {name}")
    settings: dict[str, Any] = {} if steps is None else {"steps": steps}
    if data is not None:
        settings["data"] = data
    if models:
        settings["models"] = models
    return TABLES[name](scenes, **settings, **further)
