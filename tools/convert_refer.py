"""Write referring expressions as JSON lines: python tools/convert_refer.py "data/refcoco/refs(unc).p" """

import argparse
import sys

from densevl.core.errors import DensevlError
from densevl.datasets.referring.importers import FORMATS, convert_refer


def main() -> int:
    parser = argparse.ArgumentParser(description="Convert referring expressions to the form that the benchmarks read.")
    parser.add_argument("source", help="a file in one of the formats, or a folder of parquet files")
    parser.add_argument("--format", choices=FORMATS, help="of the source (default: by the look of the file)")
    parser.add_argument("--dataset", help="refcoco, refcoco+ or refcocog (default: by the names of file and folder)")
    parser.add_argument("--splits-by", choices=["unc", "umd", "google"], help="who split it (default: the usual one)")
    parser.add_argument("--split", help="of a file that holds one and does not say which")
    parser.add_argument(
        "--instances", metavar="FILE", help="COCO's instances.json: the boxes of all objects, and masks"
    )
    parser.add_argument("--detections", metavar="FILE", help="detected boxes, kept beside the true ones")
    parser.add_argument(
        "--out", dest="target", metavar="FILE", help="default: DATASET_SPLITSBY.jsonl beside the source"
    )
    try:
        data, target = convert_refer(**vars(parser.parse_args()))
    except DensevlError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{data}\nwritten: {target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
