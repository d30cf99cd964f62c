"""Measure speed and memory: python tools/benchmark.py dinoiser --weights rule [--sweep cost.png | --batches 1,4,16]"""

import argparse
import sys

from densevl.core.errors import DensevlError


def main() -> None:
    parser = argparse.ArgumentParser(description="Images per second and peak memory, beside a plain implementation.")
    parser.add_argument("config", help="a model's name, or a config file")
    parser.add_argument("--weights", help="a name or a file, or `rule` for seeded random ones, which need no download")
    parser.add_argument("--classes", type=int, metavar="N", help="how many to label (150)")
    parser.add_argument("--size", metavar="HxW", help="of the scenes that are drawn (512x683)")
    parser.add_argument("--images", metavar="FOLDER", help="image files in the place of drawn scenes")
    parser.add_argument("--count", type=int, metavar="N", help="number of images")
    parser.add_argument("--repetitions", type=int, metavar="N")
    parser.add_argument("--window", type=int, metavar="PIXELS")
    parser.add_argument("--stride", type=int, metavar="PIXELS")
    parser.add_argument("--dtype", choices=["float32", "bfloat16", "both"], default="both")
    parser.add_argument("--device", help="cpu, cuda, …")
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    parser.add_argument("--sweep", metavar="PNG", help="measure several numbers of classes and sizes; draw a chart")
    parser.add_argument("--batches", metavar="1,4,16", help="measure whole batches, without the plain implementation")
    parser.add_argument("--compiled", action="store_true", help="with --batches: through torch.compile")
    try:
        from densevl.benchmarks.speed import measure

        print(measure(**{name: value for name, value in vars(parser.parse_args()).items() if value is not None}))
    except DensevlError as error:
        parser.exit(2, f"error: {error}\n")


if __name__ == "__main__":
    sys.exit(main())
