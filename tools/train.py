"""Train a model: python tools/train.py CONFIG [--resume] [--cfg-options KEY=VALUE ...]"""

import sys

from densevl.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
