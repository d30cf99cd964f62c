"""``densevl tune``: a few numbers inside the encoder are fitted to examples, for every command to use."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from densevl.cli.embed import loaded_with
from densevl.cli.options import Change, add_command, add_model_options, load_model, natural, positive
from densevl.core.errors import UsageError

if TYPE_CHECKING:  # the command line starts without them
    from densevl.datasets.examples import Example
    from densevl.training.tuning.methods import Settings

__all__ = ["add"]

EXAMPLES = """\
  densevl tune annotations.json --out classes.safetensors --model mini          CLIP-SVD, on the regions
  densevl tune folders/ --for images --method coop --out classes.safetensors  whole images, learnt words around names
  densevl tune boxes.json --embedder marked-images --set optimizer.lr=0.01 --out classes.safetensors
  densevl tune boxes.json --out classes.safetensors --fold tuned.safetensors    also as plain weights, for --weights
  densevl tune images/ --method nola --names "cat, dog" --out classes.safetensors  images that nobody labelled
  torchrun --nproc-per-node 2 --no-python densevl tune boxes.json --out classes.safetensors
  densevl tune boxes.json --method mod-x --sessions 5 --test held_out.json --report report --out classes.safetensors
  densevl tune ranks.json --method ranking-adapter --out larger.safetensors     an order, for `densevl rank`
  torchrun --nproc-per-node 2 -m densevl tune boxes.json --out classes.safetensors
  densevl segment photos/ --classes classes.safetensors
"""


def add(commands: Any) -> None:
    """Add the parser of the command."""
    parser = add_command(
        commands,
        "tune",
        _tune,
        "tune a few numbers inside the encoder, by a few examples",
        "Tune a few numbers inside the encoder by examples: where teaching ends, this goes on, and takes minutes.",
        EXAMPLES,
    )
    parser.add_argument("examples", type=Path, metavar="EXAMPLES", help="as for `densevl teach`")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="where the classes are written")
    parser.add_argument("--images", type=Path, metavar="FOLDER", help="of the images (default: as in EXAMPLES)")
    parser.add_argument(
        "--method", default="clip-svd", metavar="NAME", help="what is tuned, and how (default: clip-svd)"
    )
    parser.add_argument(
        "--for",
        dest="kind",
        choices=["regions", "images", "pixels"],
        default="regions",
        help="what the classes are told apart by: regions, whole images, or pixels (default: regions)",
    )
    parser.add_argument(
        "--descriptions",
        type=Path,
        metavar="FILE",
        help='texts that describe the classes, JSON {"name": ["a text", …]}, for methods that read some',
    )
    parser.add_argument(
        "--names",
        metavar="NAMES",
        help="of the classes, with commas or a file of one a line, for methods that read no labels (nola); EXAMPLES "
        "may then be a folder of images",
    )
    parser.add_argument("--steps", type=positive, metavar="N", help="how many (default: as the method says)")
    parser.add_argument("--batch", type=positive, metavar="N", help="examples a step (default: as the method says)")
    parser.add_argument("--seed", type=natural, default=0, metavar="N", help="of all that is drawn (default: 0)")
    parser.add_argument(
        "--held-out",
        type=_part,
        metavar="PART",
        help="of the images, kept out to judge and to calibrate by, as far as each class keeps four examples "
        "(default: 0.1)",
    )
    parser.add_argument(
        "--work-dir",
        type=Path,
        metavar="FOLDER",
        help="checkpoints and logs (default: FILE.tuning, which is removed when all is done)",
    )
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint of the work folder")
    parser.add_argument("--amp", action="store_true", help="compute in bfloat16 where that is safe")
    parser.add_argument(
        "--fold", type=Path, metavar="FILE", help="also write the tuned encoder as plain weights, which --weights loads"
    )
    parser.add_argument(
        "--embedder",
        action=Change,
        metavar="NAME",
        help="what makes vectors of regions: marked-images, mask-pooling or another one (default: the model's)",
    )
    parser.add_argument(
        "--sessions",
        metavar="N|FILE",
        help="classes come one group after the other: N groups in the order of EXAMPLES, or those of a JSON file such "
        'as [["cat", "dog"], ["cow"]]; for methods that know sessions (cpe-clip, mod-x, plain, vr-lwf)',
    )
    parser.add_argument(
        "--test",
        type=Path,
        metavar="TEST",
        help="held-out examples, as EXAMPLES, which are asked after each session, beside plain tuning and Gaussian "
        "classes: the accuracy of old, new and never-seen classes, and the retrieval of captions",
    )
    parser.add_argument("--report", type=Path, metavar="FOLDER", help="also draw examples, confusion and calibration")
    add_model_options(parser, "segmentor", out=None, early=False)


def _tune(options: argparse.Namespace) -> int:
    from densevl.datasets.examples import read_examples
    from densevl.training.tuning.methods import Settings, method_settings, of_orders

    # What cannot be used is said before a model is loaded.
    own = {
        path: value for path, value in options.changes.items() if path.split(".")[0] in Settings.__dataclass_fields__
    }
    options.changes = {path: value for path, value in options.changes.items() if path not in own}
    for name in ("steps", "batch"):
        if (value := getattr(options, name)) is not None:
            own[name] = value
    chosen = method_settings(options.method, "", own)
    if options.method in of_orders():
        return _learn_ranking(options, own)
    names = None if options.names is None else _names(options.names)

    from densevl.api.jobs.tune import TuneJob, check_writable
    from densevl.api.tuning_kinds import HELD_OUT
    from densevl.api.tuning_labels import described, taken_examples
    from densevl.training.tuning.run import several_processes

    descriptions = described(options.descriptions)
    unnamed = names is not None and options.images is None
    wanted = options.examples if unnamed else read_examples(options.examples, options.images)
    examples = taken_examples(wanted, options.method, chosen, names)
    sessions = _sessions(options, examples, chosen)
    check_writable(options.out)
    with several_processes() as (rank, device):
        if device is not None and options.device is None:
            options.device = device
        job = TuneJob(load_model(options, lazy=True), options.out, options.report, loaded_with(options))
        taught = job.run(
            examples,
            method=options.method,
            kind=options.kind,
            settings=own,
            seed=options.seed,
            held_out=HELD_OUT if options.held_out is None else options.held_out,
            work_dir=options.work_dir,
            resume=options.resume,
            amp=options.amp,
            fold=options.fold,
            names=names,
            descriptions=descriptions,
            sessions=sessions,
        )
        if rank == 0:
            print("\n".join(job.lines(taught)))
    return 0


def _sessions(options: argparse.Namespace, examples: Sequence["Example"], settings: "Settings") -> Any:
    """The sessions that the options ask for; None for none.

    Raises:
        UsageError: where they are none, do not fit the examples, or the method knows none.
    """
    if options.sessions is None and options.test is None:
        return None
    if options.sessions is None:
        raise UsageError("--test is asked after each session; give --sessions too, or use `densevl check`")
    from densevl.api.sessions import SessionRun
    from densevl.datasets.examples import read_examples
    from densevl.tasks.teaching.teacher import vocabulary_of

    test = None if options.test is None else read_examples(options.test, options.images)
    run = SessionRun(options.sessions, options.method, test)
    run.check(settings, () if settings.sessions is None else vocabulary_of(examples)[0].names)
    return run


def _names(text: str) -> tuple[str, ...]:
    """The names of classes, of a file or as they are written."""
    from densevl.core.vocabulary import Vocabulary

    return (Vocabulary.load(text) if Path(text).is_file() else Vocabulary.parse(text)).names


def _learn_ranking(options: argparse.Namespace, settings: dict[str, Any]) -> int:
    """Train an adapter that orders images, by examples with scores."""
    from densevl.datasets.scored import read_scored

    for name in ("fold", "report", "sessions", "test", "names", "descriptions"):
        if getattr(options, name) is not None:
            raise UsageError(f"--{name} is of classes, and {options.method} learns an order; leave it out")
    examples = read_scored(options.examples, options.images)

    from densevl.api.jobs.rank import LearnRankingJob
    from densevl.api.tuning_kinds import HELD_OUT
    from densevl.training.tuning.run import several_processes

    with several_processes() as (rank, device):
        if device is not None and options.device is None:
            options.device = device
        job = LearnRankingJob(load_model(options, lazy=True), options.out, loaded_with(options))
        ranking = job.run(
            examples,
            method=options.method,
            settings=settings,
            seed=options.seed,
            held_out=HELD_OUT if options.held_out is None else options.held_out,
            work_dir=options.work_dir,
            resume=options.resume,
            amp=options.amp,
        )
        if rank == 0:
            print("\n".join(job.lines(ranking)))
    return 0


def _part(text: str) -> float:
    """A part of all, as a type of arguments."""
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"expected a part from 0 on and below 1; got {text}")
    return value
