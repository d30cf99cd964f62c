"""Evaluate a config: python tools/test.py CONFIG [CHECKPOINT] [--cfg-options data_root=FOLDER ...]"""

import sys

from densevl.cli import main

if __name__ == "__main__":
    sys.exit(main(["test", *sys.argv[1:]]))
