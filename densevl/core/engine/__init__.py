"""Work on many items: what a worker is, and where workers run."""

from densevl.core.engine.contracts import Outcome, Recipe, Worker
from densevl.core.engine.engine import HERE, Engine
from densevl.core.engine.pipeline import Pipeline
from densevl.core.engine.strict import all_of

__all__ = ["HERE", "Engine", "Outcome", "Pipeline", "Recipe", "Worker", "all_of"]
