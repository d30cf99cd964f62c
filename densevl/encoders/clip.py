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

from densevl.core.attention import BLOCK_PARTS, run_block
from densevl.core.errors import UsageError
from densevl.core.features import DenseFeatures
from densevl.core.geometry import Size, padded_size
from densevl.dense.contracts import Readout
from densevl.encoders.texts.cache import TextCache
from densevl.encoders.texts.open_clip import TextTower, embed_texts
from densevl.encoders.towers.open_clip import ImageTower, check_images, fit

__all__ = ["CLIPEncoder", "WholeImageEncoder"]


class CLIPEncoder(nn.Module):
    """A CLIP model that embeds images, patches and texts in one space.

    The model is used as it stands: device, dtype and training are the caller's affair. Of the methods,
    :meth:`forward_images` and :meth:`forward_texts` alone compute gradients, where they are wanted.

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

    @property
    def image_size(self) -> Size:
        """(height, width) of the images that the model was trained with."""
        return self.image.size

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
        x, grid = self._tokens(images)
        x, maps = self._run_blocks(x, grid, intermediates, self.depth - 1)
        read = readout(self.image.blocks[-1], x, keys)
        features = _on_grid(self.image.project(visual.ln_post(read.tokens)), grid)
        last_keys = None if read.keys is None else _on_grid(read.keys, grid)
        return DenseFeatures(features, self.patch_size, self.model_id, last_keys, maps)

    @torch.no_grad()
    def intermediates(self, images: Float[Tensor, "b 3 H W"], names: Sequence[str]) -> dict[str, Tensor]:
        """Intermediate maps alone, as :meth:`dense` gives them; no block behind the last of them is run.

        Args:
            images: as for :meth:`dense`.
            names: as for :meth:`dense`; at least one.

        Raises:
            UsageError: as :meth:`dense`.
        """
        x, grid = self._tokens(images)
        return self._run_blocks(x, grid, names, max(_by_block(names, self.depth)) + 1)[1]

    @torch.no_grad()
    def tokens(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b c h w"]:
        """What the last block puts out for each patch: before pooling, the last normalisation and the projection.

        Args:
            images: as for :meth:`dense`.

        Raises:
            UsageError: where the images have another layout.
        """
        return _on_grid(*self._last_tokens(images))

    def forward_images(self, images: Float[Tensor, "b 3 H W"]) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, "b d"]]:
        """Patches as :meth:`tokens` gives them and, from the same pass, whole images as the model is trained to.

        Args:
            images: as for :meth:`dense`; nothing is cropped.

        Returns:
            Tokens on the patch grid, and the pooled embeddings in the joint space, not normalised.

        Raises:
            UsageError: where the images have another layout, or the model pools by an attention of its own.
        """
        x, grid = self._last_tokens(images)
        return _on_grid(x, grid), self.image.pool(x)

    def forward_texts(self, texts: Sequence[str]) -> Float[Tensor, "q d"]:
        """Embeddings of texts, not normalised; one beyond the context of the model loses its end, as CLIP is trained.

        Nothing is remembered, since the weights may change between two calls.
        """
        return self.text.encode(self.text.tokenize(texts, cut=True).to(self.text.device))

    def _last_tokens(self, images: Float[Tensor, "b 3 H W"]) -> tuple[Float[Tensor, "b n c"], Size]:
        """Tokens behind the last block, and the patch grid."""
        x, grid = self._tokens(images)
        return self._run_blocks(x, grid, (), self.depth)[0], grid

    def _tokens(self, images: Float[Tensor, "b 3 H W"]) -> tuple[Float[Tensor, "b n c"], Size]:
        """Tokens that enter the first block, of images padded to whole patches, and the patch grid."""
        check_images(images)
        height, width = images.shape[-2:]
        padded = padded_size((height, width), self.patch_size)
        return self.image.tokens(F.pad(images, (0, padded[1] - width, 0, padded[0] - height)))

    def _run_blocks(
        self, x: Float[Tensor, "b n c"], grid: Size, names: Sequence[str], count: int
    ) -> tuple[Float[Tensor, "b n c"], dict[str, Tensor]]:
        """Tokens behind the first ``count`` blocks, and the maps wanted from these blocks."""
        wanted, maps = _by_block(names, self.depth), {}
        for index, block in enumerate(self.image.blocks[:count]):
            parts = run_block(block, x)
            x = parts["out"]
            maps.update({name: _on_grid(parts[part], grid) for name, part in wanted[index]})
        return x, maps

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
        check_images(images)
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
        return embed_texts(self.text, texts, templates, self.model_id, self.text_cache)


def _on_grid(tokens: Float[Tensor, "b n c"], grid: Size) -> Float[Tensor, "b c h w"]:
    """The patches among the tokens, on their grid."""
    return tokens[:, 1:].mT.unflatten(2, grid)


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


class WholeImageEncoder(nn.Module):
    """A CLIP model that embeds whole images and texts in one space.

    Args:
        model: an open_clip model with any image tower.
        tokenizer: as for :class:`densevl.encoders.CLIPEncoder`.
        model_id: likewise.
        mean: likewise.
        std: likewise.
        text_cache: likewise.

    Attributes:
        image_size: (height, width) of the images that the model was trained with.
        dim: width of the joint space.
        temperature: the factor of cosines that the model was trained with.
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
        self.text = TextTower(model, tokenizer)
        self.model_id = model_id
        self.mean, self.std = tuple(mean), tuple(std)
        self.text_cache = text_cache
        size = model.visual.image_size
        self.image_size: Size = (size, size) if isinstance(size, int) else tuple(size)
        self.dim: int = model.visual.output_dim
        self.temperature = float(model.logit_scale.detach().exp())

    @torch.no_grad()
    def embed_images(self, images: Float[Tensor, "b 3 H W"], mode: str = "crop") -> Float32[Tensor, "b d"]:
        """Embed whole images as unit vectors, as :meth:`densevl.encoders.CLIPEncoder.embed_images` does.

        Raises:
            UsageError: where the images have another layout or the mode is unknown.
        """
        check_images(images)
        mean, std = (images.new_tensor(value)[:, None, None] for value in (self.mean, self.std))
        fitted = (fit(images, self.image_size, mode) - mean) / std
        embedded = self.model.encode_image(fitted.to(next(self.model.visual.parameters()).dtype))
        return F.normalize(embedded.float(), dim=1)

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[str], templates: Sequence[str] = ("{}",)) -> Float32[Tensor, "q d"]:
        """Embed texts as unit vectors, as :meth:`densevl.encoders.CLIPEncoder.embed_texts` does."""
        return embed_texts(self.text, texts, templates, self.model_id, self.text_cache)
