"""Make the label maps of a benchmark: python tools/convert_labels.py coco_stuff data/coco_stuff164k"""

import argparse
import sys

from densevl.core.errors import DensevlError
from densevl.datasets.converters import CONVERTERS, convert_labels


def main() -> int:
    parser = argparse.ArgumentParser(description="Convert published labels to those that the benchmarks read.")
    parser.add_argument("dataset", choices=CONVERTERS)
    parser.add_argument("root", help="folder of the data set, as in its config")
    parser.add_argument("--split", choices=["val", "train"], default="val")
    parser.add_argument(
        "--json", dest="annotations", metavar="FILE", help="annotations: context, optional for coco_object"
    )
    parser.add_argument("--workers", type=int, metavar="N", help="number of processes (default: one a core)")
    parser.add_argument("--overwrite", action="store_true", help="make all label maps anew")
    try:
        result = convert_labels(**vars(parser.parse_args()))
    except DensevlError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(result)
    return 1 if result.failures else 0


if __name__ == "__main__":
    sys.exit(main())
