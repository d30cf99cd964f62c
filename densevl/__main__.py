"""``python -m densevl`` is the command ``densevl``."""

import sys

from densevl.cli import main

__all__: list[str] = []

if __name__ == "__main__":
    sys.exit(main())
