"""A program that starts processes as it is imported, which each of them does."""

import sys

from core.engine.workers import ShouterRecipe, Word

from densevl.core.engine import Engine
from densevl.core.errors import UsageError

try:
    print(list(Engine(workers=2).run(ShouterRecipe(), [Word(name) for name in "abcd"], 1)))
except UsageError as error:
    sys.exit(str(error))
