"""Small open_clip models with every parameter away from its neutral value."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from open_clip import CLIP, CustomTextCLIP

VISION = {"image_size": 32, "patch_size": 8, "width": 48, "layers": 4, "head_width": 16}
TEXT = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 3}


def build(
    vision: dict[str, Any] | None = None,
    text: dict[str, Any] | None = None,
    quick_gelu: bool = False,
    custom: bool = False,
) -> CLIP | CustomTextCLIP:
    torch.manual_seed(0)
    kind = CustomTextCLIP if custom else CLIP
    model = kind(32, VISION | (vision or {}), TEXT | (text or {}), quick_gelu=quick_gelu).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name != "logit_scale" and parameter.numel() < 1e5:  # the large ones are random enough
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model


@pytest.fixture(scope="session")
def tiny_clip() -> Callable[..., CLIP | CustomTextCLIP]:
    """Builds a small CLIP: arguments replace those of its vision and text configs."""
    return build
