"""Evaluating a config, as ``tools/test.py`` runs it."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import barrier, get_rank, is_main_process
from mmengine.runner import Runner

from densevl.benchmarks.progress import Progress
from densevl.benchmarks.protocols import BenchmarkDataset, BenchmarkMetric, BenchmarkModel
from densevl.benchmarks.report import Report
from densevl.benchmarks.segmentation.metric import ConfusionMetric
from densevl.benchmarks.segmentation.upstream import MODELS
from densevl.core.config_files import load_config, start_distributed
from densevl.core.errors import DensevlError, OutputError, UsageError

__all__ = ["SHORT_NAMES", "evaluate"]

SHORT_NAMES = {
    "data_root": "test_dataloader.dataset.data_root",
    "weights": "model.weights",
    "heads": "model.heads",
    "prompter": "model.prompter",
    "background": "model.background",
    "batch_size": "test_dataloader.batch_size",
    "split": "test_dataloader.dataset.split",
    "annotations": "test_dataloader.dataset.annotations",
    "proposals": "test_dataloader.dataset.proposals",
}
"""Config options that have a short name."""


def evaluate(
    config: str | Path,
    checkpoint: str | Path | None = None,
    work_dir: str | Path | None = None,
    out: str | Path | None = None,
    show_dir: str | Path | None = None,
    tta: bool = False,
    limit: int | None = None,
    options: Mapping[str, Any] | None = None,
    launcher: str = "none",
) -> Report:
    """Evaluate what a config describes.

    Args:
        config: a config file, or the name of a shipped one.
        checkpoint: weights of the encoder in the place of the config's: a path or a name.
        work_dir: where ``results.json`` and the log go; ``work_dirs/<config>`` unless the config says otherwise.
        out: folder for the results of each image, such as label maps.
        show_dir: folder for a picture of the results of each image.
        tta: average the probabilities of each image and its mirror image.
        limit: use the first images only, for a quick look.
        options: dotted config keys, or :data:`SHORT_NAMES`, and their new values.
        launcher: ``"pytorch"`` under ``torchrun``; the figures are those of one process.

    Raises:
        UsageError: where the config, an option or the data cannot be used.
        WeightsError: where the weights cannot.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"limit must be at least 1; got {limit}")
    cfg = load_config(config, options, SHORT_NAMES)
    if absent := {"model", "test_dataloader"} - cfg.keys():
        raise UsageError(f"config {config} has no {' and no '.join(sorted(absent))}: it does not describe a benchmark")
    cfg.work_dir = str(work_dir or cfg.get("work_dir") or Path("work_dirs") / Path(config).stem)
    if tta and not getattr(cfg.model.get("type"), "mirrors", True):
        raise UsageError(f"config {config}: its model does not average over mirror images; leave out --tta")
    cfg.model.update(({} if checkpoint is None else {"weights": str(checkpoint)}) | ({"flip": True} if tta else {}))
    if limit is not None:
        cfg.test_dataloader.dataset.indices = limit
    start_distributed(cfg, launcher)
    model, runner = _build(cfg, out, show_dir)
    started = time.perf_counter()
    runner.test()
    report = _report(Path(config).stem, cfg, model, runner, time.perf_counter() - started)
    if is_main_process():
        report.save(Path(cfg.work_dir) / "results.json")
    return report


def _build(cfg: Config, out: str | Path | None, show_dir: str | Path | None) -> tuple[BenchmarkModel, Runner]:
    """The model, told what it is asked, and the runner of the evaluation."""
    try:
        Path(cfg.work_dir).mkdir(parents=True, exist_ok=True)
        with _first_process_first():
            model: BenchmarkModel = MODELS.build(cfg.model)
        cfg.test_dataloader.dataset.update(model.dataset_options)
        runner = Runner(
            model=model,
            work_dir=cfg.work_dir,
            test_dataloader=cfg.test_dataloader,
            test_evaluator=cfg.get("test_evaluator", {"type": ConfusionMetric}),
            test_cfg={},
            default_hooks=dict.fromkeys(("timer", "logger", "param_scheduler", "checkpoint")),
            custom_hooks=[Progress(), *model.hooks(out, show_dir)],
            env_cfg=cfg.get("env_cfg", {}),
            log_level="WARNING",
            default_scope=None,
            randomness={"seed": 0},
            experiment_name=f"{Path(cfg.work_dir).name}-{time.time_ns()}",
            cfg=cfg,
        )
        runner._test_loop = runner.build_test_loop(runner._test_loop)
        with _first_process_first():
            model.prepare(runner.test_dataloader.dataset)
    except DensevlError:
        raise
    except OSError as error:
        raise OutputError(f"cannot work in {cfg.work_dir}: {error}; choose another --work-dir") from error
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise UsageError(f"config {cfg.filename} cannot be built: {type(error).__name__}: {error}") from error
    return model, runner


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


def _report(name: str, cfg: Config, model: BenchmarkModel, runner: Runner, seconds: float) -> Report:
    dataset: BenchmarkDataset = runner.test_dataloader.dataset
    metric: BenchmarkMetric = runner.test_loop.evaluator.metrics[0]
    if metric.scores is None:
        raise UsageError(f"config {cfg.filename}: the evaluation gave no scores")
    return Report(
        config=name,
        model=model.name,
        protocol={**model.protocol, **dataset.protocol},
        dataset=dataset.title,
        source=dataset.source,
        images=len(dataset),
        expected=dataset.expected,
        scores=metric.scores,
        failures=metric.failures,
        seconds=seconds,
        remarks=dataset.caveats,
    )
