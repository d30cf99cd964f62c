"""``densevl rank``: images or regions in the order of a text, the best first."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from densevl.cli.inputs import named_inputs
from densevl.cli.options import add_command, add_model_options, load_model, positive
from densevl.core.errors import UsageError

__all__ = ["add"]

EXAMPLES = """\
  densevl rank photos/ "larger" --regions boxes.json --model mini              with the adapter that comes with mini
  densevl tune ranks.json --method ranking-adapter --out larger.safetensors
  densevl rank photos/ "larger" --adapter larger.safetensors                   whole images, the largest first
  densevl rank photos/ "larger" --adapter larger.safetensors --regions         regions that the model proposes
  densevl rank photos/ "larger" --adapter larger.safetensors --csv order.csv --top 10
"""


def add(commands: Any) -> None:
    """Add the parser of the command."""
    parser = add_command(
        commands,
        "rank",
        _rank,
        "order images or regions by a text, such as 'larger'",
        "Order images or regions by a text, the best first: by an adapter that learnt the order from scores.",
        EXAMPLES,
        usage="%(prog)s IMAGE|FOLDER|… [IMAGE|FOLDER|… ...] TEXT [--adapter FILE] [options]",
    )
    parser.add_argument("inputs", nargs="+", metavar="IMAGE|FOLDER|… TEXT", help="images, and behind them the text")
    parser.add_argument(
        "--adapter",
        type=Path,
        metavar="FILE",
        help="of `densevl tune --method ranking-adapter` (default: the one that comes with the model, where it knows "
        "the text; else cosines)",
    )
    parser.add_argument(
        "--regions",
        nargs="?",
        const="",
        metavar="FILE",
        help="order regions: boxes of a JSON file, or without one those that the model proposes",
    )
    parser.add_argument("--every", type=positive, default=1, metavar="N", help="take every N-th frame of videos")
    parser.add_argument("--top", type=positive, metavar="N", help="show the first N alone")
    parser.add_argument("--json", action="store_true", help="print the order as JSON")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="also write the order as a table")
    add_model_options(parser, "segmentor", out=None, early=False)


def _rank(options: argparse.Namespace) -> int:
    *names, text = options.inputs
    if not names:
        raise UsageError(f"give images and, behind them, the text to order by; got {text!r} alone")
    if not text.strip():
        raise UsageError('the text to order by is empty; give one such as "larger"')
    if options.csv is not None and options.csv.is_dir():
        raise UsageError(f"--csv {options.csv} is a folder; name a file, such as {options.csv / 'order.csv'}")
    inputs = named_inputs(options, names)

    from dataclasses import replace

    from densevl.api.jobs.rank import order_lines, write_csv
    from densevl.api.ranking import REGIONS
    from densevl.encoders.ranking.ranking import Ranking

    ranking = None if options.adapter is None else Ranking.load(options.adapter)
    if options.model is None and ranking is not None:
        options.model = ranking.model.get("name")
        options.weights = options.weights or ranking.model.get("weights")
        options.changes = {**ranking.model.get("changes", {}), **options.changes}
    model = load_model(options, lazy=True)
    failed: list[str] = []
    regions = options.regions if options.regions != "" else REGIONS
    order = model.rank(inputs, text, adapter=ranking, regions=regions, failed=failed)
    order = replace(order, ranked=order.ranked[: options.top])
    for message in failed:
        print(f"densevl: {message}", file=sys.stderr)
    for remark in order.remarks:
        print(f"densevl: {remark}", file=sys.stderr)
    if options.csv is not None:
        write_csv(options.csv, order)
    if options.json:
        said = {"text": text, "by": order.by, "remarks": list(order.remarks)}
        print(json.dumps({**said, "ranked": [one.record for one in order]}, ensure_ascii=False, indent=1))
    else:
        print("\n".join(order_lines(order)))
    return 1 if failed else 0
