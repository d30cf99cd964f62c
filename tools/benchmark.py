"""Measure speed and memory: python tools/benchmark.py dinoiser --weights rule [--sweep cost.png | --batches 1,4,16]"""

import argparse
import sys

from densevl.benchmarks.speed import run_benchmark
from densevl.core.errors import DensevlError


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed and memory, beside plain and published implementations.")
    parser.add_argument("name", help="a model, a config, or one such as folder, regions, refer, heads or vocabulary")
    parser.add_argument("--weights", help="a name or a file, or `rule` for seeded random ones, which need no download")
    parser.add_argument("--classes", type=int, metavar="N", help="how many to label (150)")
    parser.add_argument("--size", metavar="HxW", help="of the images that are drawn (512x683; regions: 480x640)")
    parser.add_argument("--images", metavar="FOLDER", help="image files in the place of drawn scenes")
    parser.add_argument("--count", type=int, metavar="N", help="images, or regions for visual-prompts and refer")
    parser.add_argument("--counts", type=int, nargs="+", metavar="N", help="regions: numbers of regions (1 10 100)")
    for name in ("repetitions", "window", "stride", "short-side", "sleep"):
        parser.add_argument(f"--{name}", type=int, metavar="MS" if name == "sleep" else "N")
    parser.add_argument("--dtype", choices=["float32", "bfloat16", "both"])
    parser.add_argument("--device", help="cpu, cuda, …")
    parser.add_argument("--against", metavar="DIR", help="a checkout of the published CLIP-DINOiser, to run as well")
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    parser.add_argument("--sweep", metavar="PNG", help="measure several numbers of classes and sizes; draw a chart")
    parser.add_argument("--batches", metavar="1,4,16", help="measure whole batches, without the plain implementation")
    parser.add_argument("--compiled", action="store_true", default=None, help="with --batches: by torch.compile")
    parser.add_argument("--prompts", nargs="+", metavar="NAME", help="visual-prompts: drawn on one canvas")
    for name, said in (("models", "refer, folder: measured in turn"), ("save", "folder: formats")):
        parser.add_argument(f"--{name}", nargs="+", metavar="NAME", help=said)
    parser.add_argument("--readouts", nargs="+", metavar="NAME", help="heads: measured beside maskclip (all)")
    parser.add_argument("--arch", help="regions, heads: of the CLIP, by its name in open_clip, or mini-clip (ViT-B-16)")
    given = {name: value for name, value in vars(parser.parse_args()).items() if value is not None}
    try:
        print(run_benchmark(**given))
    except DensevlError as error:
        parser.exit(2, f"error: {error}\n")


if __name__ == "__main__":
    sys.exit(main())
