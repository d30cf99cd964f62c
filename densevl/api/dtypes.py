"""The dtype that a model computes in: by its name, or the fastest that keeps labels."""

import sys
from typing import TypeVar

import torch
from torch import nn

from densevl.core.errors import UsageError
from densevl.core.int8 import int8_fault
from densevl.core.processor import BFLOAT16, instructions
from densevl.encoders.quantised import quantise_images

__all__ = ["DTYPES", "choose_dtype", "place", "torch_dtype"]

Module = TypeVar("Module", bound=nn.Module)

DTYPES = ("float32", "bfloat16", "float16", "int8", "auto")
"""Names of what a model can compute in."""


def choose_dtype(dtype: str | torch.dtype, device: torch.device) -> str:
    """The name of the dtype that a model will compute in; another than the one that is asked for is said.

    Args:
        dtype: a name of :data:`DTYPES`, or a dtype of PyTorch. ``"auto"`` is the fastest that keeps labels: bfloat16
            where the processor or the GPU computes in it, float16 on GPUs before, float32 elsewhere. ``"int8"`` is
            bfloat16 where the device has no such products; where bfloat16 would be as fast, that is said.
        device: where the model will run.

    Raises:
        UsageError: where it is none of them.
    """
    name = str(dtype).removeprefix("torch.") if isinstance(dtype, torch.dtype) else str(dtype)
    if name not in DTYPES:
        raise UsageError(f"dtype must be one of {', '.join(DTYPES)}; got {dtype!r}")
    if name == "auto":
        name, reason = _fastest(device)
        _say(f"dtype {name}: {reason}; dtype=float32 computes as published figures do")
    elif name == "int8":
        fault = int8_fault() if device.type == "cpu" else f"int8 is for CPUs, and the device is {device.type}"
        if fault is not None:
            name = "bfloat16"
            _say(f"dtype bfloat16 and not int8: {fault}")
        elif "amx_bf16" in instructions():
            _say("dtype int8: this processor has AMX, with which bfloat16 is as fast or faster; int8 takes less memory")
    return name


def place(module: Module, device: torch.device, dtype: str) -> Module:
    """A module on a device and in a dtype; in int8, what is no linear layer of an image tower is in bfloat16.

    Args:
        module: a segmentor, a grounder or a part of one; it is changed.
        device: where.
        dtype: as :func:`choose_dtype` gives it.
    """
    module = module.to(device=device, dtype=torch_dtype(dtype))
    if dtype == "int8" and not quantise_images(module):
        _say("dtype bfloat16 and not int8: the image tower has no linear layers that are wide enough")
    return module


def torch_dtype(dtype: str) -> torch.dtype:
    """The dtype of what is not in int8, which is bfloat16 around it.

    Args:
        dtype: as :func:`choose_dtype` gives it.
    """
    return torch.bfloat16 if dtype == "int8" else getattr(torch, dtype)


def _fastest(device: torch.device) -> tuple[str, str]:
    """The fastest dtype of a device that keeps labels, and why it is."""
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        named = f"a GPU of compute capability {major}.{minor}"
        if major >= 8:
            return "bfloat16", f"{named} computes in it"
        return ("float16", f"{named} computes in it") if major == 7 else ("float32", f"{named} is no faster in less")
    if device.type != "cpu":
        return "float32", f"nothing else was compared on {device.type}"
    known = instructions()
    there = next((name for name in BFLOAT16 if name in known), None)
    if there is None:
        return "float32", "this processor has no instructions for bfloat16"
    return "bfloat16", f"this processor computes in it ({there})"


def _say(line: str) -> None:
    print(f"densevl: {line}", file=sys.stderr)
