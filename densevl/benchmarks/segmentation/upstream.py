"""The door to mmsegmentation: everything that densevl takes from it comes through here.

The maintained continuation (``onedl-mmsegmentation`` with ``mmcv-lite``) is what ``densevl[bench]`` installs; the
original ``mmsegmentation`` 1.x works where it is installed with its compiled mmcv.
"""

import io
import warnings
from contextlib import redirect_stdout

from densevl.core.errors import UsageError

__all__ = [
    "DATASETS",
    "MODELS",
    "TRANSFORMS",
    "BaseSegDataset",
    "BaseSegmentor",
    "SegDataPreProcessor",
    "SegDataSample",
]

try:
    # mmcv-lite reports each compiled operator that it lacks, mmseg the optional modules; none is used here
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        import mmseg.datasets.transforms  # noqa: F401  (registers the transforms)
        from mmseg.datasets import BaseSegDataset
        from mmseg.models import BaseSegmentor, SegDataPreProcessor
        from mmseg.registry import DATASETS, MODELS, TRANSFORMS
        from mmseg.structures import SegDataSample
except (ImportError, AssertionError) as error:  # mmseg asserts the version of mmcv that it wants
    raise UsageError(
        f"the benchmarks need mmsegmentation, which cannot be imported ({error}); install it with "
        "`pip install 'densevl[bench]'`, in a checkout `pip install -e '.[bench]'`"
    ) from error
