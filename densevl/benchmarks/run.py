"""Evaluating a config, as ``tools/test.py`` runs it."""

import inspect
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import barrier, get_rank, is_main_process
from mmengine.registry import MODELS
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from densevl.api.jobs.runs import fingerprint
from densevl.benchmarks.confusion import write_confusion
from densevl.benchmarks.lenses.answers.hook import LensHook
from densevl.benchmarks.lenses.answers.images import PerImage, write_images
from densevl.benchmarks.numbered import KEPT, ImageRecipe, KeptImages, evaluate_images, metric_of
from densevl.benchmarks.page import PageHook
from densevl.benchmarks.presets import Preset
from densevl.benchmarks.progress import Progress
from densevl.benchmarks.protocols import BenchmarkDataset, BenchmarkMetric, BenchmarkModel
from densevl.benchmarks.report import Report
from densevl.core.config_files import load_config, start_distributed
from densevl.core.engine import HERE, Engine
from densevl.core.errors import DensevlError, OutputError, UsageError, suggestion

__all__ = ["SHORT_NAMES", "evaluate"]

SHORT_NAMES = {
    "data_root": "test_dataloader.dataset.data_root",
    "weights": "model.weights",
    "heads": "model.refiners.0.weights",
    "prompter": "model.prompter",
    "mask_maker": "model.mask_maker",
    "background": "model.background",
    "batch_size": "test_dataloader.batch_size",
    "split": "test_dataloader.dataset.split",
    "annotations": "test_dataloader.dataset.annotations",
    "proposals": "test_dataloader.dataset.proposals",
}
"""Config options that have a short name."""

NEEDED = ("model", "test_dataloader", "test_evaluator")
"""Keys of a config that describes a benchmark."""

OPTIONAL = ("env_cfg", "work_dir")
"""Further keys that are read."""


def evaluate(
    config: str | Path,
    model: str | Mapping[str, Any] | None = None,
    checkpoint: str | Path | None = None,
    work_dir: str | Path | None = None,
    out: str | Path | None = None,
    show_dir: str | Path | None = None,
    tta: bool = False,
    limit: int | None = None,
    options: Mapping[str, Any] | None = None,
    launcher: str = "none",
    lenses: Sequence[Any] = (),
    confusion: str | Path | None = None,
    per_image: str | Path | None = None,
    html: str | Path | None = None,
    protocol: str | None = None,
    engine: Engine = HERE,
) -> Report:
    """Evaluate a model on a data set, as a config says.

    Args:
        config: a config file, or the name of a shipped one.
        model: the model in the place of the config's: a name from ``densevl models``, ``HEAD@ENCODER``, or the configs
            of its parts. Needed where the config describes a data set alone, such as ``configs/ade.py``.
        checkpoint: weights of the encoder in the place of the config's: a path or a name.
        work_dir: folder of ``results.json`` and the log; ``work_dirs/<config>``, or ``work_dirs/<config>-<model>``,
            unless the config says otherwise.
        out: folder for the results of each image, such as label maps.
        show_dir: folder for a drawing of the results of each image.
        tta: average the probabilities of each image and its mirror image.
        limit: use the first images only, for a quick look.
        options: dotted config keys, or :data:`SHORT_NAMES`, and their new values.
        launcher: ``"pytorch"`` under ``torchrun``; the figures are those of one process.
        lenses: further sections of the report: names of :data:`~densevl.benchmarks.lenses.answers.ANSWER_LENSES`,
            configs with the name as ``type``, or built ones. They change no figure.
        confusion: a ``.csv`` or ``.json`` of the pixels by true and given class; their picture is written beside it.
        per_image: a ``.csv`` or ``.json`` of the scores of every image that could be used.
        html: folder for a page of the results.
        protocol: a published protocol by its name, for label maps; ``"own"`` for that of the model's row. What the
            options say comes after it, and makes the result a mix.
        engine: where images are answered. In other processes no lens and no page sees them; an evaluation there that
            was stopped goes on where it is begun again with the same settings and folder.

    Raises:
        UsageError: where the config, an option, a lens or the data cannot be used.
        WeightsError: where the weights cannot.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"limit must be at least 1; got {limit}")
    for option, file in (("confusion", confusion), ("per_image", per_image)):
        if file is not None and Path(file).suffix not in (".csv", ".json"):
            raise UsageError(f"{option} is written as .csv or .json; got {str(file)!r}")
    if per_image is not None and PerImage.name not in lenses:
        lenses = [*lenses, PerImage()]
    lens_hook = LensHook(lenses)
    if not engine.is_here:
        _check_spread(launcher, html, lenses, per_image)
    configured = _Configured(config, model, checkpoint, work_dir, tta, limit, options, protocol)
    cfg, preset = configured()
    start_distributed(cfg, launcher)
    tested, runner = _build(cfg, out, show_dir, lens_hook)
    metric: Any = runner.test_loop.evaluator.metrics[0]
    if confusion is not None and not hasattr(metric, "matrix"):
        raise UsageError(
            f"config {config}: {type(metric).__name__} counts no confusion of classes; leave out confusion"
        )
    page = None if html is None else PageHook(html)
    if page is not None:
        runner.register_hook(page)
    started = time.perf_counter()
    if engine.is_here:
        runner.test()
    else:
        _spread(cfg, tested, runner, engine, ImageRecipe(configured, _absolute(out), _absolute(show_dir)))
    report = _report(Path(config).stem, cfg, tested, runner, time.perf_counter() - started, preset)
    if is_main_process():
        report.save(Path(cfg.work_dir) / "results.json")
        (Path(cfg.work_dir) / KEPT).unlink(missing_ok=True)
    if sections := lens_hook.sections(getattr(runner.test_dataloader.dataset, "metainfo", {})):
        report = replace(report, lenses=sections)
        if is_main_process():  # again, so that the scores are kept where a lens fails
            report.save(Path(cfg.work_dir) / "results.json")
    if is_main_process() and confusion is not None:
        metric = runner.test_loop.evaluator.metrics[0]
        write_confusion(confusion, metric.matrix, runner.test_dataloader.dataset.metainfo["classes"])
    if is_main_process() and per_image is not None:
        write_images(per_image, sections[PerImage.name])
    if page is not None:
        found = page.gather()
        if is_main_process():
            page.write(found, report, getattr(runner.test_dataloader.dataset, "vocabulary", None))
    return report


@dataclass(frozen=True)
class _Configured:
    """The config of an evaluation, made in this process or in another from the arguments of :func:`evaluate`."""

    name: str | Path
    model: str | Mapping[str, Any] | None
    checkpoint: str | Path | None
    work_dir: str | Path | None
    tta: bool
    limit: int | None
    options: Mapping[str, Any] | None
    protocol: str | None

    def __call__(self) -> tuple[Config, Preset | None]:
        """The config, and the protocol that was laid over it.

        Raises:
            UsageError: where it cannot be used.
        """
        config, model = self.name, self.model
        cfg = load_config(config, self.options, SHORT_NAMES, NEEDED + OPTIONAL)
        if absent := [key for key in NEEDED if cfg.get(key) is None]:
            raise UsageError(f"config {config} has no {' and no '.join(absent)}: it does not describe a benchmark")
        name = f"{Path(config).stem}-{model}" if isinstance(model, str) else Path(config).stem
        cfg.work_dir = str(self.work_dir or cfg.get("work_dir") or Path("work_dirs") / name)
        if model is not None:
            cfg.model.model = model
        if self.tta and not getattr(cfg.model.get("type"), "mirrors", True):
            raise UsageError(f"config {config}: its model does not average over mirror images; leave out --tta")
        weights = {} if self.checkpoint is None else {"weights": str(self.checkpoint)}
        cfg.model.update(weights | ({"flip": True} if self.tta else {}))
        preset = None if self.protocol is None else _preset(cfg, self.protocol, self.options or {})
        if self.limit is not None:
            cfg.test_dataloader.dataset.indices = self.limit
        return cfg, preset


def _check_spread(launcher: str, html: Any, lenses: Sequence[Any], per_image: Any) -> None:
    """Refuse what is not done where other processes answer the images."""
    asked = {"--launcher": launcher != "none", "--html": html, "--per-image": per_image, "--lens": lenses}
    if refused := [name for name, given in asked.items() if given]:
        raise UsageError(f"{refused[0]} is not there with --workers or --ray; leave out one of them")


def _spread(cfg: Config, model: BenchmarkModel[Any], runner: Runner, engine: Engine, recipe: ImageRecipe) -> None:
    """Evaluate on an engine; what is found is kept in the work folder until the report is written."""
    dataset: Any = runner.test_dataloader.dataset
    metric = metric_of(cfg.test_evaluator, dataset)
    runner.test_loop.evaluator.metrics[0] = metric
    places = {name: str(folder) for name, folder in (("out", recipe.out), ("show_dir", recipe.show_dir))}
    settings = [
        model.name,
        model.protocol,
        dict(dataset.protocol),
        dataset.source,
        len(dataset),
        cfg.pretty_text,
        places,
    ]
    batch = int(runner.test_dataloader.batch_size or 1)
    kept = KeptImages(Path(cfg.work_dir) / KEPT, fingerprint(*settings))
    evaluate_images(dataset, metric, engine, recipe, batch, kept)


def _absolute(folder: str | Path | None) -> Path | None:
    return None if folder is None else Path(folder).absolute()


def _build(
    cfg: Config, out: str | Path | None, show_dir: str | Path | None, lens_hook: LensHook
) -> tuple[BenchmarkModel[Any], Runner]:
    """The model, prepared for the data set, and the runner of the evaluation."""
    _check_options(
        "test_dataloader",
        {
            **cfg.test_dataloader,
            "type": DataLoader,
        },
    )
    _check_options("test_dataloader.dataset", cfg.test_dataloader.dataset)
    _check_options("test_evaluator", cfg.test_evaluator)
    try:
        Path(cfg.work_dir).mkdir(parents=True, exist_ok=True)
        with _first_process_first():
            model: BenchmarkModel[Any] = MODELS.build(cfg.model)
        if not isinstance(model, BenchmarkModel):
            raise UsageError(f"config {cfg.filename}: {type(model).__name__} is no BenchmarkModel")
        runner = Runner(
            model=model,
            work_dir=cfg.work_dir,
            test_dataloader=cfg.test_dataloader,
            test_evaluator=cfg.test_evaluator,
            test_cfg={},
            default_hooks=dict.fromkeys(("timer", "logger", "param_scheduler", "checkpoint")),
            custom_hooks=[Progress(), *model.hooks(out, show_dir), lens_hook],
            env_cfg=cfg.get("env_cfg", {}),
            log_level="WARNING",
            default_scope=None,
            randomness={"seed": 0},
            experiment_name=f"{Path(cfg.work_dir).name}-{time.time_ns()}",
            cfg=cfg,
        )
        runner._test_loop = runner.build_test_loop(runner._test_loop)
        _check_contract("test_dataloader.dataset", runner.test_dataloader.dataset, BenchmarkDataset)
        _check_contract("test_evaluator", runner.test_loop.evaluator.metrics[0], BenchmarkMetric)
        with _first_process_first():
            model.prepare(runner.test_dataloader.dataset)
    except DensevlError:
        raise
    except OSError as error:
        raise OutputError(f"cannot work in {cfg.work_dir}: {error}; choose another --work-dir") from error
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise UsageError(f"config {cfg.filename} cannot be built: {type(error).__name__}: {error}") from error
    return model, runner


def _check_options(place: str, settings: Mapping[str, Any]) -> None:
    """Refuse settings that the class named by ``type`` does not take; one that passes others on refuses them itself."""
    made = settings.get("type")
    parameters = inspect.signature(made).parameters if inspect.isclass(made) else {}
    unknown = [name for name in settings if name != "type" and name not in parameters]
    if unknown and parameters and all(one.kind is not one.VAR_KEYWORD for one in parameters.values()):
        raise UsageError(f"{place} takes no {unknown[0]!r}; {suggestion(unknown[0], sorted(parameters))}")


def _check_contract(place: str, built: Any, contract: type) -> None:
    """Refuse a data set or a metric without the attributes that the report reads."""
    if absent := [name for name in contract.__annotations__ if not hasattr(built, name)]:
        raise UsageError(f"{place}: {type(built).__name__} has no {', '.join(absent)}, see {contract.__qualname__}")


@contextmanager
def _first_process_first() -> Iterator[None]:
    """The first process fills the caches (weights, text embeddings) that the others then read."""
    if get_rank() > 0:
        barrier()
    try:
        yield
    finally:
        if get_rank() == 0:
            barrier()


def _preset(cfg: Config, name: str, options: Mapping[str, Any]) -> Preset:
    """A protocol laid over a config of label maps."""
    dataset = cfg.test_dataloader.dataset
    if "queries" not in inspect.signature(cfg.model.type).parameters:
        raise UsageError(f"config {cfg.filename}: protocols are for label maps; leave out --protocol")
    full = {SHORT_NAMES.get(key, key): value for key, value in options.items()}
    preset = Preset.of(name, cfg.model.get("model"), dataset.get("vocabulary", "scenes"), full)
    preset.lay(cfg)
    return preset


def _report(
    name: str, cfg: Config, model: BenchmarkModel[Any], runner: Runner, seconds: float, preset: Preset | None
) -> Report:
    dataset: BenchmarkDataset = runner.test_dataloader.dataset
    metric: BenchmarkMetric = runner.test_loop.evaluator.metrics[0]
    if metric.scores is None:
        raise UsageError(f"config {cfg.filename}: the evaluation gave no scores")
    found = model.protocol
    named = {} if preset is None else {"preset": preset.protocol.name, "mix": preset.mixed(found)}
    return Report(
        config=name,
        model=model.name,
        protocol={**named, **found, **dataset.protocol},
        dataset=dataset.title,
        source=dataset.source,
        images=len(dataset),
        expected=dataset.expected,
        scores=model.grouped(metric.scores),
        failures=metric.failures,
        seconds=seconds,
        remarks=[*dataset.caveats, *(() if preset is None else preset.remarks(found))],
    )
