"""Mixed precision on any device.

MMEngine's ``AmpOptimWrapper`` refuses to run without an accelerator. bfloat16 has the exponent of float32, so it needs
no loss scaling, and recent processors multiply it several times faster than float32.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn

__all__ = ["AutocastOptimWrapper"]


@OPTIM_WRAPPERS.register_module()
class AutocastOptimWrapper(OptimWrapper):
    """Optimizer wrapper whose forward pass runs in bfloat16 where that is safe; weights and updates stay float32."""

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """The context of a forward pass, as MMEngine's models enter it in ``train_step``."""
        device = next(model.parameters()).device
        with super().optim_context(model), torch.autocast(device.type, dtype=torch.bfloat16):
            yield
