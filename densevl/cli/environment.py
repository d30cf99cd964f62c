"""A description of the machine and the installed packages, for bug reports."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version

__all__ = ["describe", "package_version"]

PACKAGES = (
    "densevl", "torch", "torchvision", "open_clip_torch", "mmengine", "mmcv-lite", "mmcv", "onedl-mmsegmentation",
    "mmsegmentation", "numpy", "opencv-python", "opencv-python-headless", "pillow", "pycocotools", "safetensors",
    "huggingface_hub",
)  # fmt: skip


def describe() -> str:
    """One ``name: value`` a line."""
    import torch

    from densevl.core.plugins import plugins
    from densevl.core.processor import BFLOAT16, INT8, instructions
    from densevl.weights import cache_dir

    lines = {"python": platform.python_version(), "system": platform.platform(), "processor": _processor()}
    lines |= {package: package_version(package) for package in PACKAGES}
    lines["cpu threads"] = str(torch.get_num_threads())
    lines["cpu capability"] = torch.backends.cpu.get_cpu_capability()
    there = instructions()
    lines |= {
        f"{dtype} in hardware": ", ".join(name for name in names if name in there) or "no"
        for dtype, names in (("bfloat16", BFLOAT16), ("int8", INT8))
    }
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    lines["gpus"] = ", ".join(torch.cuda.get_device_name(i) for i in range(count)) or "none"
    lines["cache"] = str(cache_dir())
    lines["plug-ins"] = ", ".join(plugin.module for plugin in plugins()) or "none"
    variables = ("DENSEVL_CACHE", "DENSEVL_OFFLINE", "HF_HUB_OFFLINE", "HF_ENDPOINT", "CUDA_VISIBLE_DEVICES")
    lines |= {name: os.environ[name] for name in variables if name in os.environ}
    return "\n".join(f"{name}: {value}" for name, value in lines.items())


def package_version(package: str) -> str:
    """The version of an installed package, or that there is none."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown"
