"""A program that works in two processes for a minute, and says when the first item is done."""

import sys

from core.engine.workers import ShouterRecipe, Word

from densevl.core.engine import Engine

if __name__ == "__main__":
    try:
        for _ in Engine(workers=2).run(ShouterRecipe(seconds=0.25), [Word(str(place)) for place in range(400)], 1):
            print("done", flush=True)
    except KeyboardInterrupt:
        sys.exit(130)
