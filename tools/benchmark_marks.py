"""Time drawing of visual prompts against the published way, region by region: python tools/benchmark_marks.py"""

import argparse
import sys

from densevl.core.errors import DensevlError


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Milliseconds of processor time for all regions of one image, medians."
    )
    parser.add_argument("--prompts", nargs="+", metavar="NAME", help="visual prompts, drawn on one canvas")
    parser.add_argument("--count", type=int, default=20, metavar="N", help="number of regions")
    parser.add_argument("--image-size", default="480x640", metavar="HxW")
    parser.add_argument("--size", type=int, default=384, metavar="PIXELS", help="short side of the marked images")
    parser.add_argument("--repetitions", type=int, default=5, metavar="N")
    args = {name: value for name, value in vars(parser.parse_args()).items() if value is not None}
    try:
        from densevl.benchmarks.speed import parse_size
        from densevl.benchmarks.speed.marks import benchmark

        if "prompts" in args:
            args["sets"] = [args.pop("prompts")]
        args["image_size"] = parse_size(args["image_size"])
        print(f"{'':48}{'one by one':>15}{'same bytes':>13}{'faster':>9}{'default':>13}{'faster':>9}")
        print(*benchmark(**args), sep="\n")
    except DensevlError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
