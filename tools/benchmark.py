"""Measure speed and memory: python tools/benchmark.py dinoiser --weights rule [--sweep cost.png | --batches 1,4,16]"""

import argparse
import sys

from densevl.benchmarks.speed import run_benchmark
from densevl.core.errors import DensevlError


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed and memory, beside plain and published implementations.")
    parser.add_argument("name", help="a model, a config, folder, files, start, regions, refer, heads, search, …")
    parser.add_argument("--weights", help="a name or a file, or `rule` for seeded random ones, which need no download")
    parser.add_argument("--size", metavar="HxW", help="of the images that are drawn (512x683; regions: 480x640)")
    parser.add_argument("--images", metavar="FOLDER", help="image files in the place of drawn scenes")
    parser.add_argument("--dtype", help="float32, bfloat16, int8, some of them with commas, or both")
    parser.add_argument("--against", metavar="DIR", help="a checkout of the published CLIP-DINOiser, to run as well")
    parser.add_argument("--sweep", metavar="PNG", help="measure several numbers of classes and sizes; draw a chart")
    parser.add_argument("--batches", metavar="1,4,16", help="images a second of whole batches")
    parser.add_argument("--compiled", action="store_true", default=None, help="with --batches: by torch.compile, too")
    parser.add_argument("--counts", type=int, nargs="+", metavar="N", help="of regions (1 10 100), of files (1000 …)")
    for name in ("classes", "count", "repetitions", "window", "stride", "short-side", "sleep"):
        parser.add_argument(f"--{name}", type=int, metavar="N")
    for name in ("device", "json", "regions", "store", "out", "arch", "job"):
        parser.add_argument(f"--{name}", metavar="VALUE")
    for name in ("prompts", "models", "readouts", "save", "indices", "curves"):
        parser.add_argument(f"--{name}", nargs="+", metavar="NAME", help="measured in turn or together")
    given = {name: value for name, value in vars(parser.parse_args()).items() if value is not None}
    try:
        print(run_benchmark(**given))
    except DensevlError as error:
        parser.exit(2, f"error: {error}\n")


if __name__ == "__main__":
    sys.exit(main())
