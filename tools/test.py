"""Evaluate a config: python tools/test.py CONFIG [CHECKPOINT] [--cfg-options data_root=FOLDER ...]"""

import argparse
import sys

from mmengine.dist import is_main_process

from densevl.core.config_files import parse_options
from densevl.core.errors import DensevlError


def main() -> int:
    parser = argparse.ArgumentParser(description="Print the scores of a benchmark config.")
    parser.add_argument("config", help="a config file, or the name of a shipped one such as maskclip_ade")
    parser.add_argument("checkpoint", nargs="?", help="weights of the encoder in the place of the config's")
    parser.add_argument("--work-dir", help="where results.json and the log go (default: work_dirs/CONFIG)")
    parser.add_argument("--out", metavar="FOLDER", help="write the results of each image, such as label maps")
    parser.add_argument("--show-dir", metavar="FOLDER", help="draw the results of each image")
    parser.add_argument("--tta", action="store_true", help="average over each image and its mirror image")
    parser.add_argument("--limit", type=int, metavar="N", help="use the first N images only")
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="change the config")
    parser.add_argument("--launcher", choices=["none", "pytorch"], default="none", help="pytorch: under torchrun")
    parser.add_argument("--local-rank", type=int, help=argparse.SUPPRESS)
    args = vars(parser.parse_args())
    args.pop("local_rank")
    try:
        from densevl.benchmarks.run import evaluate

        report = evaluate(options=parse_options(args.pop("cfg_options")), **args)
    except DensevlError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if is_main_process():
        print(report)
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
