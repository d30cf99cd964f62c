"""A small CLIP whose image tower is a ResNet with attention pooling."""

import torch
from open_clip import CLIP

RESNET = {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "head_width": 16, "patch_size": None}


def resnet_clip() -> CLIP:
    """The same model each time, for images of 64 pixels, every parameter away from its neutral value."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        text = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
        model = CLIP(32, RESNET, text, quick_gelu=True)
        for value in model.visual.parameters():
            value.data.add_(0.1 * torch.randn(value.shape))
        for module in model.visual.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = None  # statistics are those of the images below
        with torch.no_grad():
            model.visual(torch.randn(16, 3, 64, 64))
    return model.eval().requires_grad_(False)
