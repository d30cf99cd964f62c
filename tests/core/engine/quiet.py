"""A program that works on a local Ray cluster, one of whose workers dies."""

import sys
from pathlib import Path

from core.engine.workers import ShouterRecipe, Word

from densevl.core.engine import Engine

words = [Word(name) for name in ("a", "b", "once-c", "d")]
print(*[one.said for one in Engine(workers=2, ray="local").run(ShouterRecipe(Path(sys.argv[1])), words, 1)])
