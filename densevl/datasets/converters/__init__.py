"""Making the label maps that the benchmarks read from what the owners of the data sets publish."""

from densevl.datasets.converters.conversion import Conversion, Task, run_tasks
from densevl.datasets.converters.convert import CONVERTERS, convert_labels

__all__ = ["CONVERTERS", "Conversion", "Task", "convert_labels", "run_tasks"]
