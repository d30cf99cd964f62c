"""CLIP as an encoder of whole images, of patches and of texts: one class over every tower.

Source: Radford et al., Learning Transferable Visual Models From Natural Language Supervision, ICML 2021,
https://arxiv.org/abs/2103.00020, and open_clip. The model's own modules are called, block by block; nothing in it is
changed, patched or hooked.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32
from torch import Tensor, nn

from densevl.core.attention import TAPS, Block, run_block
from densevl.core.errors import UsageError
from densevl.core.geometry import Size
from densevl.core.gradients import frozen
from densevl.core.images import normalise
from densevl.encoders.contracts import NOTHING, ConvolutionalTower, ImageTower, LastBlock, Needs
from densevl.encoders.images import check_images, fit, whole_patches
from densevl.encoders.texts import text_tower
from densevl.encoders.texts.cache import TextCache
from densevl.encoders.texts.embeddings import embed_texts
from densevl.encoders.towers import image_tower

__all__ = ["OPENAI_MEAN", "OPENAI_STD", "CLIPEncoder", "WholeImageEncoder"]

OPENAI_MEAN, OPENAI_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Of the images that CLIP was trained on; open_clip has the same, and takes as long to import as torch."""


class WholeImageEncoder(nn.Module):
    """A CLIP model that embeds whole images and texts in one space: any model of open_clip, ResNets included.

    Marked images need no more than this. The model is used as it stands: device, dtype and training are the caller's
    affair.

    Args:
        model: an open_clip model with any image tower.
        tokenizer: see :func:`densevl.encoders.texts.text_tower`.
        model_id: identity of architecture and weights; features and texts of different ids are never compared.
        mean: mean of each channel that the model was trained with.
        std: standard deviation of each channel that the model was trained with.
        text_cache: keeps text embeddings on disk under ``model_id``; None for off.
        resize: how whole images are brought to the native size where a caller does not say: ``"crop"`` scales the
            short side and crops the centre, as CLIP does; ``"squash"`` keeps all of the image and gives up its ratio.
        interpolation: by which whole images are brought to it: ``"bicubic"`` or ``"bilinear"``, with antialiasing.

    Attributes:
        arch: the architecture that it was built of, by name or as open_clip's JSON; None where nobody said.
        delta: the hash of what tuning learnt in it; None where nothing was tuned.
        image_size: (height, width) of the images that the model was trained with.
        dim: width of the joint space.
        temperature: the factor of cosines that the model was trained with.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        model_id: str,
        mean: Sequence[float] = OPENAI_MEAN,
        std: Sequence[float] = OPENAI_STD,
        text_cache: TextCache | None = None,
        resize: str = "crop",
        interpolation: str = "bicubic",
    ) -> None:
        super().__init__()
        self.model = model
        self.text = text_tower(model, tokenizer)
        self.model_id = model_id
        # Plain numbers, not buffers: a module in bfloat16 would round them.
        self.mean, self.std = tuple(mean), tuple(std)
        self.text_cache = text_cache
        self.resize, self.interpolation = resize, interpolation
        self.arch: Any = None
        self.delta: str | None = None
        size = getattr(model.visual, "image_size", None) or model.visual.size
        self.image_size: Size = (size, size) if isinstance(size, int) else tuple(size)
        self.dim: int = _joint_width(model)
        self.temperature = float(model.logit_scale.detach().exp())

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(self.model.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the weights of the image tower."""
        return next(self.model.visual.parameters()).dtype

    @frozen
    def embed_images(self, images: Float[Tensor, "b 3 H W"], mode: str | None = None) -> Float32[Tensor, "b d"]:
        """Embed whole images as unit vectors.

        Args:
            images: RGB in [0, 1], any size; brought to the native size of the model.
            mode: ``"crop"`` or ``"squash"``; ``"keep"`` for images whose sides are whole patches, as they are; None for
                the encoder's own way, its ``resize``.

        Raises:
            UsageError: where the images have another layout or the mode is unknown.
        """
        check_images(images)
        if mode == "keep":
            fitted = self._kept(images)
        else:
            fitted = fit(images, self.image_size, mode or self.resize, self.interpolation)
        return F.normalize(self._embed(normalise(fitted, self.mean, self.std)).float(), dim=1)

    def _embed(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b d"]:
        return self.model.encode_image(images.to(self.dtype))

    def _kept(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b 3 H W"]:
        """Images that are embedded at the size that they have."""
        raise UsageError(f"{self.model_id!r} takes images of one size; leave mode=keep out")

    @frozen
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

    def fit_texts(self, texts: Sequence[str], template: str = "{}") -> tuple[list[str], int]:
        """Texts without the last words that would not fit in the context of the text tower.

        CLIP cuts such texts anywhere; here they end at a word.

        Args:
            texts: captions or names.
            template: what each is set into.

        Returns:
            The texts, and how many of them lost words.
        """
        return self.text.fit(texts, template)


class CLIPEncoder(WholeImageEncoder):
    """A CLIP model that embeds images, patches and texts in one space.

    Of the methods, :meth:`forward_images` and :meth:`forward_texts` alone compute gradients, where they are wanted.

    Args:
        model: an open_clip model, or a :class:`densevl.encoders.architectures.ImageTextPair`, with an image tower of
            :data:`densevl.encoders.towers.ADAPTERS` or of densevl.
        tokenizer: see :func:`densevl.encoders.texts.text_tower`.
        model_id: identity of architecture and weights.
        mean: mean of each channel that the model was trained with.
        std: standard deviation of each channel that the model was trained with.
        text_cache: keeps text embeddings on disk under ``model_id``; None for off.
        resize: how whole images are brought to the native size where a caller does not say: ``"crop"`` scales the
            short side and crops the centre, as CLIP does; ``"squash"`` keeps all of the image and gives up its ratio.
        interpolation: by which whole images are brought to it: ``"bicubic"`` or ``"bilinear"``, with antialiasing.

    Attributes:
        patch_size: side of a patch in pixels.
        width: width of the image tower, which keys and maps have.
        depth: number of blocks of the image tower.

    Raises:
        UsageError: where the image tower is unknown, or of a kind that cannot be read.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        model_id: str,
        mean: Sequence[float] = OPENAI_MEAN,
        std: Sequence[float] = OPENAI_STD,
        text_cache: TextCache | None = None,
        resize: str = "crop",
        interpolation: str = "bicubic",
    ) -> None:
        image: ImageTower = image_tower(model.visual)
        super().__init__(model, tokenizer, model_id, mean, std, text_cache, resize, interpolation)
        self.image = image
        self.patch_size, self.width, self.depth = image.patch_size, image.width, image.depth

    @frozen
    def last_block(
        self,
        images: Float[Tensor, "b 3 H W"],
        needs: Needs = NOTHING,
        *,
        positions: str = "size",
        border: str = "black",
    ) -> LastBlock:
        """Run images of one size, any size, up to the last block.

        Args:
            images: RGB in [0, 1].
            needs: what the reader needs beside the tokens; the last block itself belongs to the reader, so that maps
                come from the blocks before it.
            positions: how the position embedding is resized, one of :data:`densevl.encoders.contracts.POSITIONS`.
            border: what becomes of sides that are no multiple of the patch, one of
                :data:`densevl.encoders.contracts.BORDERS`.

        Raises:
            UsageError: where the images have another layout, a map is unknown, or a setting is.
        """
        states = _places(needs.states, self.depth)
        x, blocks, grid, maps = self._run(images, self.depth - 1, needs.maps, positions, border, states)
        return LastBlock(
            x,
            blocks[-1],
            grid,
            self.image.prefix,
            maps,
            images=images if needs.images else None,
            guide=None if needs.guide is None else needs.guide(images),
            states={name: states[name % self.depth] for name in needs.states},
            blocks=blocks,
            to_joint=self.image.to_joint,
            pool=self.image.pool,
        )

    @frozen
    def to_joint(self, tokens: Float[Tensor, "b n c"]) -> Float[Tensor, "b n d"]:
        """Each token behind the last block by itself in the joint space, not normalised.

        Raises:
            UsageError: where the model has no place for a single patch in that space.
        """
        return self.image.to_joint(tokens)

    @frozen
    def maps(self, images: Float[Tensor, "b 3 H W"], names: Sequence[str]) -> dict[str, Tensor]:
        """Maps of earlier blocks alone, as :meth:`last_block` gives them; no block behind the last of them is run.

        Args:
            images: RGB in [0, 1], of one size.
            names: at least one, such as ``"blocks.-3.ln_2"``.

        Raises:
            UsageError: where the images have another layout or a map is unknown.
        """
        return self._run(images, max(self._wanted(names)) + 1, names)[3]

    @frozen
    def tokens(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b c h w"]:
        """The output of the last block for each patch, before pooling, the last normalisation and the projection.

        Args:
            images: RGB in [0, 1], of one size.

        Raises:
            UsageError: where the images have another layout.
        """
        return self._on_grid(*self._last_tokens(images))

    def forward_images(self, images: Float[Tensor, "b 3 H W"]) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, "b d"]]:
        """Patches as :meth:`tokens` gives them and, from the same pass, whole images as the model is trained to.

        Args:
            images: RGB in [0, 1], of one size; nothing is cropped.

        Returns:
            Tokens on the patch grid, and the pooled embeddings in the joint space, not normalised.

        Raises:
            UsageError: where the images have another layout, or the model pools by an attention of its own.
        """
        x, grid = self._last_tokens(images)
        return self._on_grid(x, grid), self.image.pool(x)

    def forward_texts(self, texts: Sequence[str]) -> Float[Tensor, "q d"]:
        """Embeddings of texts, not normalised; one beyond the context of the model loses its end, as CLIP is trained.

        Nothing is remembered, since the weights may change between two calls.
        """
        return self.text.encode(self.text.tokenize(texts, cut=True).to(self.text.device))

    def _embed(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b d"]:
        return self.image.embed(images.to(self.image.dtype))

    def _kept(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b 3 H W"]:
        height, width = images.shape[2:]
        if (
            height % self.patch_size
            or width % self.patch_size
            or getattr(self.model.visual, "attn_pool", None) is not None
        ):
            raise UsageError(
                f"images of {height}×{width} cannot be embedded as they are by {self.model_id!r}: take a size of whole "
                f"patches of {self.patch_size} pixels, or leave mode=keep out"
            )
        return images

    def _last_tokens(self, images: Float[Tensor, "b 3 H W"]) -> tuple[Float[Tensor, "b n c"], Size]:
        """Tokens behind the last block, and the patch grid."""
        x, _, grid, _ = self._run(images, self.depth)
        return x, grid

    def _run(
        self,
        images: Float[Tensor, "b 3 H W"],
        count: int,
        names: Sequence[str] = (),
        positions: str = "size",
        border: str = "black",
        states: dict[int, Any] | None = None,
    ) -> tuple[Float[Tensor, "b n c"], Sequence[Block], Size, dict[str, Tensor]]:
        """Tokens behind the first ``count`` blocks, the blocks on their grid, the grid, and maps of these blocks.

        The tokens before each block whose place is a key of ``states`` are put in there.
        """
        states = {} if states is None else states
        check_images(images)
        wanted = self._wanted(names)
        whole = normalise(whole_patches(images, self.patch_size, border), self.mean, self.std).to(self.image.dtype)
        if isinstance(self.image, ConvolutionalTower):
            if positions != "size":
                raise UsageError(f"positions={positions} resizes a position embedding, which convolutions do not have")
            if states:
                raise UsageError("tokens between blocks were asked of a tower of convolutions; take readout=plain")
            last, found = self.image.maps(whole, list(wanted))
            grid = (last.shape[2], last.shape[3])
            maps = {name: found[index] for index, taps in wanted.items() for name, _ in taps}
            return last.flatten(2).mT, self.image.blocks_on(grid), grid, maps
        x, grid = self.image.tokens(whole, positions)
        blocks, maps = self.image.blocks_on(grid, positions), {}
        for index, block in enumerate(blocks[:count]):
            if index in states:
                states[index] = x
            pieces = run_block(block, x)
            x = pieces["out"]
            maps.update({name: self._on_grid(pieces[tap], grid) for name, tap in wanted[index]})
        if count in states:
            states[count] = x
        if any(state.shape[1] != x.shape[1] for state in states.values()):
            raise UsageError(
                "tokens between blocks were asked of a tower in which tuning adds tokens from block to block, so that "
                "they cannot be set beside each other; take a readout of the last block alone, such as maskclip"
            )
        return x, blocks, grid, maps

    def _wanted(self, names: Sequence[str]) -> dict[int, list[tuple[str, str]]]:
        """Names and taps wanted of each block; one of convolutions has no taps, and the last of them can be asked."""
        of_convolutions = isinstance(self.image, ConvolutionalTower)
        return _by_block(names, self.depth, () if of_convolutions else TAPS, last=of_convolutions)

    def _on_grid(self, tokens: Float[Tensor, "b n c"], grid: Size) -> Float[Tensor, "b c h w"]:
        """The patches among the tokens, on their grid."""
        return tokens[:, tokens.shape[1] - grid[0] * grid[1] :].mT.unflatten(2, grid)


def _joint_width(model: Any) -> int:
    """Width of the joint space, which towers of open_clip and ours tell, and texts where the image tower does not."""
    found = (getattr(model.visual, name, None) for name in ("output_dim", "dim"))
    return int(next((width for width in found if width is not None), None) or model.text.output_dim)


def _places(names: Sequence[int], depth: int) -> dict[int, Any]:
    """The places between blocks that are wanted, from the front, with nothing at them yet.

    Raises:
        UsageError: where one lies behind the last block's input.
    """
    for name in names:
        if not -depth <= name < depth:
            raise UsageError(
                f"tokens behind block {name} were asked of an image tower of {depth} blocks, of which the last is read "
                f"by itself; ask for 0 to {depth - 1}, or for -1 to {-depth}"
            )
    return {name % depth: None for name in names}


def _by_block(
    names: Sequence[str], depth: int, taps: Sequence[str] = TAPS, last: bool = False
) -> dict[int, list[tuple[str, str]]]:
    """Names and taps wanted of each block, by its index from the front.

    Args:
        names: of maps.
        depth: number of blocks.
        taps: that a block has.
        last: whether the last block can be asked, too.
    """
    wanted, end = defaultdict(list), depth if last else depth - 1
    pattern = r"blocks\.(-?\d+)" + (rf"(?:\.({'|'.join(taps)}))?" if taps else "()")
    if names and end < 1:
        raise UsageError(f"map {names[0]!r} is that of an earlier block, and this image tower has one block alone")
    form, kinds = (" or `blocks.<index>.<tap>`", f" and a tap of {', '.join(taps)}") if taps else ("", "")
    for name in names:
        match = re.fullmatch(pattern, name)
        index = -1 if match is None else int(match[1]) + (depth if int(match[1]) < 0 else 0)
        if match is None or not 0 <= index < end:
            raise UsageError(
                f"unknown map {name!r}; write `blocks.<index>`{form} with an index from 0 to {end - 1} or from "
                f"{-depth} to {end - 1 - depth}{kinds}"
            )
        wanted[index].append((name, match[2] or "out"))
    return wanted
