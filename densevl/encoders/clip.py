"""CLIP as an encoder of whole images, of patches and of texts, over any ViT model of open_clip.

Source: Radford et al., Learning Transferable Visual Models From Natural Language Supervision, ICML 2021,
https://arxiv.org/abs/2103.00020, and open_clip. The model's own modules are called, block by block; nothing in it is
changed, patched or hooked.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32
from open_clip import CLIP, OPENAI_DATASET_MEAN, OPENAI_DATASET_STD, CoCa, CustomTextCLIP
from torch import Tensor, nn
from tqdm import tqdm

from densevl.blocks import BLOCK_PARTS, Readout, run_block
from densevl.encoders.clip_image import ImageTower, fit
from densevl.encoders.clip_text import TextTower
from densevl.encoders.text_cache import TextCache
from densevl.errors import UsageError
from densevl.geometry import padded_size
from densevl.structures import DenseFeatures

__all__ = ["CLIPEncoder"]

TEXTS_AT_ONCE = 64


class CLIPEncoder(nn.Module):
    """A CLIP model that embeds images, patches and texts in one space.

    The model is used as it stands: device, dtype and training are the caller's affair. No method computes gradients.

    Args:
        model: an open_clip model whose image tower is a ``VisionTransformer``.
        tokenizer: maps texts to token ids "q n"; called with ``context_length=`` too.
        model_id: identity of architecture and weights; features and texts of different ids are never compared.
        mean: mean of each channel that the model was trained with.
        std: standard deviation of each channel that the model was trained with.
        text_cache: keeps text embeddings on disk under ``model_id``; None for off.

    Attributes:
        patch_size: side of a patch in pixels.
        dim: width of the joint space.
        width: width of the image tower, which keys and intermediates have.
        depth: number of blocks of the image tower.
        temperature: the factor of cosines that the model was trained with.

    Raises:
        UsageError: where the image tower is not a ViT of square patches and standard blocks.
    """

    def __init__(
        self,
        model: CLIP | CustomTextCLIP | CoCa,
        tokenizer: Callable[..., Tensor],
        model_id: str,
        mean: Sequence[float] = OPENAI_DATASET_MEAN,
        std: Sequence[float] = OPENAI_DATASET_STD,
        text_cache: TextCache | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.image = ImageTower(self.model.visual, mean, std)
        self.text = TextTower(model, tokenizer)
        self.model_id = model_id
        self.text_cache = text_cache
        self.patch_size: int = self.model.visual.patch_size[0]
        self.dim: int = self.model.visual.output_dim
        self.width: int = self.model.visual.transformer.width
        self.depth = len(self.image.blocks)
        self.temperature = float(self.model.logit_scale.detach().exp())

    @torch.no_grad()
    def dense(
        self,
        images: Float[Tensor, "b 3 H W"],
        readout: Readout,
        intermediates: Sequence[str] = (),
        keys: bool = False,
    ) -> DenseFeatures:
        """Embed every patch of images of one size, any size.

        Convention: images are padded with zeros (black) at the right and the bottom to a multiple of the patch size,
        then normalised.

        Args:
            images: RGB in [0, 1].
            readout: how the last block is read.
            intermediates: further maps wanted from the same pass: ``"blocks.-3.ln_2"`` is what ``ln_2`` of the
                third-last block puts out, ``"blocks.0"`` what the first block does. The parts are ``ln_1``, ``attn``,
                ``ln_2`` and ``mlp``. The last block belongs to the readout.
            keys: whether to return the keys of the last attention.

        Raises:
            UsageError: where the images have another layout, an intermediate is unknown, or the model pools by an
                attention of its own, so that its patches have no place in the joint space.
        """
        visual = self.model.visual
        if visual.attn_pool is not None:
            raise UsageError(
                f"{self.model_id} pools its patches by attention, so they have no embedding of their own; "
                "take a CLIP model without attention pooling, such as ViT-B-16"
            )
        _check_images(images)
        wanted = _by_block(intermediates, self.depth)
        height, width = images.shape[-2:]
        padded = padded_size((height, width), self.patch_size)
        x, grid = self.image.tokens(F.pad(images, (0, padded[1] - width, 0, padded[0] - height)))

        def on_grid(tokens: Tensor) -> Tensor:
            return tokens.mT.unflatten(2, grid)

        maps = {}
        *blocks, last = self.image.blocks
        for index, block in enumerate(blocks):
            parts = run_block(block, x)
            x = parts["out"]
            maps.update({name: on_grid(parts[part][:, 1:]) for name, part in wanted[index]})
        read = readout(last, x, keys)
        features = on_grid(self.image.project(visual.ln_post(read.tokens[:, 1:])))
        last_keys = None if read.keys is None else on_grid(read.keys[:, 1:])
        return DenseFeatures(features, self.patch_size, self.model_id, last_keys, maps)

    @torch.no_grad()
    def embed_images(self, images: Float[Tensor, "b 3 H W"], mode: str = "crop") -> Float32[Tensor, "b d"]:
        """Embed whole images as unit vectors.

        Args:
            images: RGB in [0, 1], any size; brought to the native size of the model, bicubic with antialiasing.
            mode: ``"crop"`` scales the short side and crops the centre, as CLIP does; ``"squash"`` keeps all of the
                image and gives up its ratio.

        Raises:
            UsageError: where the images have another layout or the mode is unknown.
        """
        _check_images(images)
        return F.normalize(self.image.embed(fit(images, self.image.size, mode)).float(), dim=1)

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[str], templates: Sequence[str] = ("{}",)) -> Float32[Tensor, "q d"]:
        """Embed texts as unit vectors: each template's embedding normalised, averaged, normalised again.

        Args:
            texts: class names or other texts.
            templates: texts that hold ``{}`` where the class name goes.

        Raises:
            UsageError: where there is no text or template, a text is blank or does not fit in the context of the
                model, or a template has no ``{}``.
        """
        _check_texts(texts, templates)
        cache = self.text_cache
        file = None if cache is None else cache.path(self.model_id, templates, self.text.dtype)
        known = {} if cache is None or file is None else cache.read(file)
        missing = [text for text in dict.fromkeys(texts) if text not in known]
        total = len(missing) * len(templates)
        with tqdm(total=total, desc="texts", delay=2, leave=False, disable=None) as progress:
            for start in range(0, len(missing), TEXTS_AT_ONCE):
                group = missing[start : start + TEXTS_AT_ONCE]
                fresh = dict(zip(group, self.text.embed(group, templates, progress.update).cpu(), strict=True))
                known.update(fresh)
                if cache is not None and file is not None:
                    cache.add(file, fresh)
        return torch.stack([known[text] for text in texts]).to(self.text.device)


def _by_block(intermediates: Sequence[str], depth: int) -> dict[int, list[tuple[str, str]]]:
    """Names and parts wanted of each block, by its index from the front."""
    wanted = defaultdict(list)
    for name in intermediates:
        match = re.fullmatch(rf"blocks\.(-?\d+)(?:\.({'|'.join(BLOCK_PARTS)}))?", name)
        index = -1 if match is None else int(match[1]) + (depth if int(match[1]) < 0 else 0)
        if match is None or not 0 <= index < depth - 1:
            raise UsageError(
                f"unknown intermediate {name!r}; write `blocks.<index>` or `blocks.<index>.<part>` with an index "
                f"from 0 to {depth - 2} or from {-depth} to -2 and a part of {', '.join(BLOCK_PARTS)}"
            )
        wanted[index].append((name, match[2] or "out"))
    return wanted


def _check_images(images: Tensor) -> None:
    if images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape or not images.is_floating_point():
        raise UsageError(
            f"images must be RGB in [0, 1] as a float tensor (b, 3, H, W); got {tuple(images.shape)} of {images.dtype}"
        )


def _check_texts(texts: Sequence[str], templates: Sequence[str]) -> None:
    if isinstance(texts, str) or not texts or not templates:
        raise UsageError(f"give at least one text and one template, as lists; got {texts!r} and {templates!r}")
    blank = next((text for text in texts if not text.strip()), None)
    if blank is not None:
        raise UsageError(f"a text is blank: {blank!r}; give it a name or leave it out")
    wrong = next((template for template in templates if "{}" not in template), None)
    if wrong is not None:
        raise UsageError(f"template {wrong!r} has no place for the class name; put {{}} there")
