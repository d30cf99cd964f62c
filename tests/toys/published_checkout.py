"""A checkout like that of CLIP-DINOiser's published code: the same entry points, in a few lines of our own.

Its model is MaskCLIP on open_clip's ViT, with tokens first and images second between the blocks.
"""

from pathlib import Path

__all__ = ["write_checkout"]

BUILDER = """
from mmcv.utils import Registry
from omegaconf import OmegaConf

MODELS = Registry("models")


def build_model(config, class_names):
    return MODELS.build(OmegaConf.to_container(config, resolve=True), default_args={"class_names": class_names})
"""

MODEL = """
import torch
from mmseg.ops import resize
from open_clip import create_model_from_pretrained, get_tokenizer
from torch.nn.functional import conv2d, linear, normalize

from models.builder import MODELS


class Head(torch.nn.Module):
    def __init__(self, arch, names):
        super().__init__()
        model, _ = create_model_from_pretrained(arch, pretrained="some")
        texts = torch.cat([get_tokenizer(arch)(f"a photo of {name}") for name in names])
        self.register_buffer("class_embeddings", model.encode_text(texts).detach())


@MODELS.register_module()
class MaskClip(torch.nn.Module):
    def __init__(self, clip_model, class_names, backbone, decode_head):
        super().__init__()
        self.decode_head = Head(clip_model, class_names)
        self.visual = create_model_from_pretrained(clip_model, pretrained="some")[0].visual
        self.visual.transformer.resblocks[-2].register_forward_hook(self.keep)

    def keep(self, block, inputs, output):
        self.seen = output

    def forward(self, images):
        visual = self.visual
        shift, scale = (torch.tensor(v)[:, None, None] for v in (
            (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)))
        native = visual.positional_embedding.data
        (h, w), (rows, columns) = visual.grid_size, [side // visual.patch_size[0] for side in images.shape[2:]]
        square = native[1:].T.reshape(1, -1, h, w)
        resized = resize(square, size=(rows, columns), mode="bicubic", align_corners=False)
        visual.positional_embedding.data = torch.cat([native[:1], resized[0].flatten(1).T])
        visual((images - shift) / scale)
        visual.positional_embedding.data = native
        x, block = self.seen, visual.transformer.resblocks[-1]
        assert x.shape[1] == len(images), "tokens come first"
        value = linear(block.ln_1(x), block.attn.in_proj_weight, block.attn.in_proj_bias).chunk(3, dim=2)[2]
        x = x + block.attn.out_proj(value)
        x = x + block.mlp(block.ln_2(x))
        features = (visual.ln_post(x[1:]) @ visual.proj).permute(1, 2, 0).reshape(len(images), -1, rows, columns)
        return (100 * conv2d(normalize(features), self.decode_head.class_embeddings[:, :, None, None])).softmax(1)
"""

EVALUATION = """
import torch
from mmseg.models import EncoderDecoder
from mmseg.ops import resize


class DinoCLIP_Infrencer(EncoderDecoder):
    def __init__(self, model, num_classes, test_cfg=None):
        super(EncoderDecoder, self).__init__()
        self.model, self.num_classes, self.test_cfg, self.align_corners = model, num_classes, test_cfg, False

    def encode_decode(self, img, meta):
        return resize(self.model(img), size=img.shape[2:], mode="bilinear", align_corners=self.align_corners)
"""

CONFIG = """
model:
  type: MaskClip
  clip_model: ViT-B-16
  backbone: {{img_size: {image}, patch_size: {patch}}}
  decode_head: {{in_channels: {width}, text_channels: {joint}}}
"""


def write_checkout(folder: Path, image: int, patch: int, width: int, joint: int) -> Path:
    """Write the checkout for a CLIP of these numbers."""
    config = CONFIG.format(image=image, patch=patch, width=width, joint=joint)
    files = {
        "models/__init__.py": "from .builder import build_model\nfrom .maskclip import MaskClip\n",
        "models/builder.py": BUILDER,
        "models/maskclip.py": MODEL,
        "segmentation/__init__.py": "",
        "segmentation/evaluation/__init__.py": "from mmseg.datasets import build_dataset\n",
        "segmentation/evaluation/clip_dinoiser_eval.py": EVALUATION,
        "configs/clip_dinoiser.yaml": "model: {type: CLIP_DINOiser}\n",
        "configs/maskclip.yaml": config,
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder
