"""``densevl test``: the scores of a model on a benchmark, from a config."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from densevl.cli.config_commands import add_config_command
from densevl.cli.options import name_here
from densevl.cli.workers import add_worker_options

__all__ = ["add"]

EXAMPLES = """\
  densevl test dinoiser_scenes                                            nothing to download
  densevl test dinoiser_ade --cfg-options data_root=data/ade --out results
  densevl test voc21 --model naclip --protocol own                        as published on this data set
  densevl test dinoiser_scenes --lens hardest                             and the images it labels worst
  densevl test dinoiser_scenes --confusion confusion.csv --per-image images.csv
  densevl test dinoiser_scenes --workers 4                                the same figures; goes on where it was stopped
  torchrun --nproc-per-node 2 -m densevl test dinoiser_scenes --launcher pytorch
"""


def add(commands: Any) -> None:
    """Add the parser of the command."""
    parser = add_config_command(commands, "test", _test, "print the scores of a benchmark config", EXAMPLES)
    parser.add_argument("checkpoint", nargs="?", help="weights of the encoder in the place of the config's")
    parser.add_argument("--model", metavar="NAME[@ENCODER]", help="a model in the place of the config's")
    parser.add_argument("--protocol", metavar="NAME", help="published settings, such as sclip; own: the model's own")
    parser.add_argument(
        "--out", type=name_here, metavar="FOLDER", help="write the results of each image, such as label maps"
    )
    parser.add_argument("--show-dir", type=name_here, metavar="FOLDER", help="draw the results of each image")
    parser.add_argument(
        "--html", type=name_here, metavar="FOLDER", help="write index.html, a page for any browser, into a folder"
    )
    parser.add_argument("--tta", action="store_true", help="average over each image and its mirror image")
    parser.add_argument("--limit", type=int, metavar="N", help="use the first N images only")
    parser.add_argument(
        "--lens", action="append", dest="lenses", metavar="NAME", help="add a section to the report, such as hardest"
    )
    parser.add_argument(
        "--confusion",
        type=name_here,
        metavar="FILE",
        help="write pixels by true and given class, .csv or .json, and a .png of them",
    )
    parser.add_argument(
        "--per-image", type=name_here, metavar="FILE", help="write the scores of each image, .csv or .json"
    )
    add_worker_options(parser)


def _test(
    model: str | None,
    lenses: list[str] | None,
    confusion: str | None,
    per_image: str | None,
    html: str | None,
    protocol: str | None,
    workers: int,
    ray: str | None,
    threads: int | None,
    log: Path | None,
    **arguments: Any,
) -> int:
    from mmengine.dist import is_main_process

    from densevl.benchmarks.run import evaluate
    from densevl.core.engine import Engine

    given: dict[str, Any] = {"model": model, "lenses": lenses, "confusion": confusion, "per_image": per_image}
    given |= {"html": html, "protocol": protocol}
    engine = Engine(workers, ray, threads, log=log)
    arguments["engine"] = engine if engine.is_here else replace(engine, gpus=_gpus())
    report = evaluate(**arguments, **{name: value for name, value in given.items() if value is not None})
    if is_main_process():
        print(report)
    return 1 if report.failures else 0


def _gpus() -> float:
    """GPUs of each worker: one where this machine has some, as the models of benchmarks take one then."""
    import torch

    return float(torch.cuda.is_available())
