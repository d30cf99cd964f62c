"""Measure speed and memory: python tools/benchmark.py dinoiser --weights rule [--sweep cost.png | --batches 1,4,16]"""

import argparse
import sys

from densevl.benchmarks.speed import run_benchmark
from densevl.core.errors import DensevlError


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed and memory, beside plain and published implementations.")
    parser.add_argument("name", help="a model, a config, regions, refer, heads, files, start, search, …")
    parser.add_argument("--weights", help="a name or a file, or `rule` for seeded random ones, which need no download")
    parser.add_argument("--classes", type=int, metavar="N", help="how many to label (150)")
    parser.add_argument("--size", metavar="HxW", help="of the images that are drawn (512x683; regions: 480x640)")
    parser.add_argument("--images", metavar="FOLDER", help="image files in the place of drawn scenes")
    parser.add_argument("--count", type=int, metavar="N", help="images, or regions for visual-prompts and refer")
    parser.add_argument("--counts", type=int, nargs="+", metavar="N", help="of regions (1 10 100), of files (1000 …)")
    for name, unit in (("repetitions", "N"), ("window", "PIXELS"), ("stride", "PIXELS"), ("short-side", "PIXELS")):
        parser.add_argument(f"--{name}", type=int, metavar=unit)
    parser.add_argument("--dtype", choices=["float32", "bfloat16", "both"])
    parser.add_argument("--against", metavar="DIR", help="a checkout of the published CLIP-DINOiser, to run as well")
    for name, kind in (("json", "FILE"), ("regions", "N,N"), ("store", "NAME"), ("out", "DIR"), ("device", "NAME")):
        parser.add_argument(f"--{name}", metavar=kind)
    parser.add_argument("--sweep", metavar="PNG", help="measure several numbers of classes and sizes; draw a chart")
    parser.add_argument("--batches", metavar="1,4,16", help="measure whole batches, without the plain implementation")
    parser.add_argument("--compiled", action="store_true", default=None, help="with --batches: by torch.compile")
    lists = {"prompts": "visual-prompts", "models": "refer, start", "readouts": "heads", "indices": "search"}
    for name, of in lists.items():
        parser.add_argument(f"--{name}", nargs="+", metavar="NAME", help=f"{of}: measured in turn or together")
    parser.add_argument("--arch", help="regions, heads: of the CLIP, by its name in open_clip, or mini-clip (ViT-B-16)")
    given = {name: value for name, value in vars(parser.parse_args()).items() if value is not None}
    try:
        print(run_benchmark(**given))
    except DensevlError as error:
        parser.exit(2, f"error: {error}\n")


if __name__ == "__main__":
    sys.exit(main())
