"""Learning rates of the submodules of a model, and which of its weights are decayed.

As CLIP is trained (open_clip), matrices are decayed, and vectors, biases and scalars such as temperatures are not.
MMEngine's own constructor knows that rule for norms and biases only, and gives it up for submodules with a rate
of their own.
"""

from typing import Any

from mmengine.optim import DefaultOptimWrapperConstructor
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn

from densevl.core.errors import UsageError

__all__ = ["PartRates"]


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class PartRates(DefaultOptimWrapperConstructor):
    """Groups the weights of a model by the rate of their submodule and by whether they are decayed.

    In a config::

        optim_wrapper = dict(constructor="PartRates", paramwise_cfg=dict(rates=dict(clip=0.1)), …)

    trains the submodule ``clip`` at a tenth of the optimizer's rate and the others at the whole of it. A rate of
    None is as good as not there.
    """

    def __init__(self, optim_wrapper_cfg: dict[str, Any], paramwise_cfg: dict[str, Any] | None = None) -> None:
        # MMEngine asks for no groups where there are no settings; what is decayed needs none.
        super().__init__(optim_wrapper_cfg, {"rates": {}, **(paramwise_cfg or {})})

    def add_params(
        self, params: list[dict[str, Any]], module: nn.Module, prefix: str = "", is_dcn_module: Any = None
    ) -> None:
        """Add the groups of all weights of a model that are trained.

        Raises:
            UsageError: where a submodule with a rate has no weights that are trained.
        """
        given = self.paramwise_cfg.get("rates", {})
        rates: dict[str, float] = {name: rate for name, rate in given.items() if rate is not None}
        trained = {name: weight for name, weight in module.named_parameters() if weight.requires_grad}
        groups: dict[tuple[str, bool], list[nn.Parameter]] = {}
        for name, weight in trained.items():
            owner = next((one for one in rates if name.startswith(f"{one}.")), "")
            groups.setdefault((owner, weight.ndim > 1), []).append(weight)
        if absent := sorted(rates.keys() - {owner for owner, _ in groups}):
            others = sorted({name.partition(".")[0] for name in trained})
            raise UsageError(
                f"paramwise_cfg.rates names {absent[0]!r}, which is not trained here; trained are {', '.join(others)}"
            )
        for (owner, decayed), weights in groups.items():
            group = {"params": weights, "lr": self.base_lr * rates.get(owner, 1.0)}
            params.append(group if decayed else {**group, "weight_decay": 0.0})
