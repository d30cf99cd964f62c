"""Measure speed and memory against a plain implementation: python tools/benchmark.py maskclip --weights rule"""

import argparse
import sys

from densevl.errors import DensevlError


def main() -> int:
    parser = argparse.ArgumentParser(description="Images per second and peak memory by stage.")
    parser.add_argument("config", help="a model's name, or a config file")
    parser.add_argument("--weights", help="a name or a file, or `rule` for seeded random ones, which need no download")
    parser.add_argument("--classes", type=int, default=150, metavar="N")
    parser.add_argument("--size", default="512x683", metavar="HxW", help="of the scenes that are drawn")
    parser.add_argument("--images", metavar="FOLDER", help="image files in the place of drawn scenes")
    parser.add_argument("--count", type=int, default=3, metavar="N", help="number of images")
    parser.add_argument("--repetitions", type=int, default=3, metavar="N")
    parser.add_argument("--window", type=int, metavar="PIXELS")
    parser.add_argument("--stride", type=int, metavar="PIXELS")
    parser.add_argument("--dtype", choices=["float32", "bfloat16", "both"], default="both")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    args = {name: value for name, value in vars(parser.parse_args()).items() if value is not None}
    target, dtype = args.pop("json", None), args.pop("dtype")
    try:
        from densevl.speed import benchmark, parse_size

        args["size"] = parse_size(args["size"])
        report = benchmark(**args, dtypes=("float32", "bfloat16") if dtype == "both" else (dtype,))
        print(report)
        if target is not None:
            report.save(target)
    except DensevlError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
