"""Train a model: python tools/train.py CONFIG [--resume] [--cfg-options KEY=VALUE ...]"""

import argparse
import sys

from densevl.core.config_files import parse_options
from densevl.core.errors import DensevlError
from densevl.training.train import train


def main() -> int:
    parser = argparse.ArgumentParser(description="Train a model from a config.")
    parser.add_argument("config", help="a config file, or the name of a shipped one")
    parser.add_argument("--work-dir", help="where logs and checkpoints go (default: work_dirs/CONFIG)")
    parser.add_argument(
        "--resume", nargs="?", const=True, default=False, metavar="CHECKPOINT", help="continue (default: the last one)"
    )
    parser.add_argument("--amp", action="store_true", help="compute in bfloat16 where that is safe")
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="change the config")
    parser.add_argument("--launcher", choices=["none", "pytorch"], default="none", help="pytorch: under torchrun")
    parser.add_argument("--local-rank", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    try:
        options = parse_options(args.cfg_options)
        train(args.config, args.work_dir, args.resume, args.amp, options, args.launcher)
    except DensevlError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
