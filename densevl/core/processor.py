"""What this machine's processor can do, as PyTorch tells it."""

from typing import Any

import torch

__all__ = ["BFLOAT16", "INT8", "instructions"]

BFLOAT16 = ("amx_bf16", "avx512_bf16", "arm_bf16")
"""Instructions for matrix products in bfloat16, the fastest first."""

INT8 = ("amx_int8", "avx512_vnni", "avx_vnni", "arm_dot", "dotprod", "asimddp")
"""Instructions for dot products in int8, the fastest first; without them int8 is slower and may saturate."""


def instructions() -> frozenset[str]:
    """Names of the sets of instructions that the processor has, such as ``"avx512_bf16"`` or ``"amx_int8"``.

    Older versions of PyTorch tell two of them: ``"avx512_vnni"`` and ``"avx512_bf16"``.
    """
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    found = {name.lower() for name, there in capabilities.items() if there is True}
    for name, check in (("avx512_vnni", "_is_vnni_supported"), ("avx512_bf16", "_is_avx512_bf16_supported")):
        if getattr(torch.cpu, check, bool)():
            found.add(name)
    return frozenset(found)
