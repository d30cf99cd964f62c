"""Time embedding n regions of an image by a prompter, by pooling and by marks: python tools/benchmark_regions.py"""

import argparse
import sys

from densevl.core.errors import DensevlError


def main() -> int:
    parser = argparse.ArgumentParser(description="Milliseconds of processor time to embed all regions of one image.")
    parser.add_argument("--arch", default="ViT-B-16", help="of the CLIP, by its name in open_clip, or mini-clip")
    parser.add_argument("--counts", nargs="+", type=int, default=[1, 10, 100], metavar="N", help="numbers of regions")
    parser.add_argument("--image-size", default="480x640", metavar="HxW")
    parser.add_argument("--repetitions", type=int, default=3, metavar="N")
    args = vars(parser.parse_args())
    try:
        from densevl.benchmarks.speed import parse_size
        from densevl.benchmarks.speed.regions import benchmark

        args["image_size"] = parse_size(args["image_size"])
        print(f"{'regions':24}" + "".join(f"{count:15}" for count in args["counts"]))
        print(*benchmark(**args), sep="\n")
    except DensevlError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
