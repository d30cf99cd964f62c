"""The contracts of the encoders: what an image tower, a text tower and an encoder hand out, and what they are given.

An encoder does not take a readout. It hands out its *last block* with the tokens that enter it, and whoever reads it
(a readout of ``densevl.dense``, a prompter of ``densevl.regions``) decides what becomes of them. What a reader
needs beside the tokens it says in its :class:`Needs`, and nobody reaches through an encoder to its library.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor, nn

from densevl.core.attention import Block, is_residual, run_block
from densevl.core.errors import UsageError
from densevl.core.features import ClosedSet, DenseFeatures, TextEmbeddings
from densevl.core.geometry import Extent, Size
from densevl.core.readings import Reading, UnknownWord
from densevl.core.understood import Understood

__all__ = [
    "BORDERS",
    "DENSE_BORDERS",
    "NOTHING",
    "POSITIONS",
    "ConvolutionalTower",
    "Encoder",
    "ExtensibleTower",
    "FrozenTexts",
    "ImageTower",
    "KnowsClasses",
    "LastBlock",
    "LearntTemplate",
    "Needs",
    "TextSpace",
    "TextTower",
    "Window",
    "join_needs",
    "tuned_by",
    "understand",
]

POSITIONS: tuple[str, ...] = ("size", "plus", "antialias", "bilinear")
"""Ways to resize a position embedding: bicubic to the size of the grid (``"size"``), bicubic by the ratio (side + 0.1)
/ native side (``"plus"``, as DINO and the SCLIP lineage do), bicubic with antialiasing (GEM), or bilinear (CLIP
Surgery)."""

BORDERS: tuple[str, ...] = ("black", "drop")
"""What becomes of a side that is no multiple of the patch: ``"black"`` continues the image in zeros at the right and
the bottom, before it is normalised; ``"drop"`` leaves the rest out, and the map is later stretched over the image."""

DENSE_BORDERS: tuple[str, ...] = (*BORDERS, "centre56")
"""The same for dense features, which know where the image lies: ``"centre56"`` continues it to a multiple of 56 pixels
on both sides, in the mean colour of the encoder's training, and cuts off what lies outside (ProxyCLIP and its kin)."""


NO_HEADS = (
    "the last block of this image tower has lost its attention, so there are no {} to read; take readout=maskclip or "
    "readout=plain, and nothing that needs keys"
)

Window = tuple[int, int, int, int]
"""(left, top, right, bottom) in pixels of the image that a window was cut from, half-open."""


class Needs(NamedTuple):
    """The inputs that a readout, a refiner or a smoothing needs beside the dense features.

    Attributes:
        maps: maps of earlier blocks by name: ``"blocks.-3.ln_2"`` is what ``ln_2`` of the third-last block puts out,
            ``"blocks.0"`` what the first block does; the names are those of :data:`densevl.core.attention.TAPS`.
            Those of a tower of convolutions are each on a grid of their own.
        images: the images themselves, RGB in [0, 1].
        keys: the keys of the last attention.
        guide: a second encoder, such as DINO or SAM, that describes the same images.
        windows: all windows of one image together, with the boxes where they lie.
        texts: the embeddings of the vocabulary. Features then belong to it: an image encoded for one vocabulary cannot
            be labelled with another.
        states: tokens between the blocks by their place: 0 is what enters the first block, i what the i-th block puts
            out; negative places count from the end, -1 being what enters the last block.
        regions: the regions of the image, of a mask maker that saw the whole of it.
        encoder: the dense encoder itself, by which a stage looks at the image again.
    """

    maps: tuple[str, ...] = ()
    images: bool = False
    keys: bool = False
    guide: Callable[[Float[Tensor, "b 3 H W"]], DenseFeatures] | None = None
    windows: bool = False
    texts: bool = False
    states: tuple[int, ...] = ()
    regions: bool = False
    encoder: bool = False


NOTHING = Needs()
"""No needs."""


def tuned_by(encoder: Any) -> dict[str, str]:
    """The hash of the delta that an encoder, or the one inside of it, computes with, for fingerprints; else nothing.

    A delta of texts alone leaves the identity of images as it was, so that it has to be said beside it.
    """
    found = getattr(encoder, "delta", None) or getattr(getattr(encoder, "encoder", None), "delta", None)
    return {} if found is None else {"delta": str(found)}


def join_needs(needs: Sequence[Needs]) -> Needs:
    """The needs of several readers together; the guide is that of the first that has one."""
    return Needs(
        tuple(sorted({name for one in needs for name in one.maps})),
        any(one.images for one in needs),
        any(one.keys for one in needs),
        next((one.guide for one in needs if one.guide is not None), None),
        any(one.windows for one in needs),
        any(one.texts for one in needs),
        tuple(sorted({place for one in needs for place in one.states})),
        any(one.regions for one in needs),
        any(one.encoder for one in needs),
    )


@dataclass(frozen=True, eq=False)
class LastBlock:
    """The last block of an image tower, and what a readout may use of the pass that led to it.

    Attributes:
        tokens: what enters the block: the prefix (class token, registers), then the patches in reading order.
        block: the block.
        grid: patches (down, right).
        prefix: number of tokens before the patches.
        maps: maps of earlier blocks by name, those that the needs name.
        images: RGB in [0, 1] as they were given, where the needs include them.
        guide: the features of a second encoder, where the needs include one.
        windows: the box of each image in the image that all of the batch were cut from, where the needs include it.
        extent: what the grid covers evenly, in pixels of each image as it was given; None where nobody said it.
        texts: the vocabulary that the features shall serve, where the needs include it.
        states: tokens between the blocks, prefix included, by the places that the needs name.
        blocks: all blocks, first to last, on this grid; none of a tower of convolutions.
        regions: the region of each pixel of each encoded image, below 0 for none, where the needs include them; the
            same region has the same number in all windows of an image.
        to_joint: from tokens behind the last block, "b n c", to the joint space, each by itself.
        pool: from all tokens behind the last block to whole images in the joint space, not normalised.
    """

    tokens: Float[Tensor, "b n c"]
    block: Block
    grid: Size
    prefix: int
    maps: Mapping[str, Float[Tensor, "b _ _ _"]] = field(default_factory=dict)
    images: Float[Tensor, "b 3 H W"] | None = None
    guide: DenseFeatures | None = None
    windows: Sequence[Window] | None = None
    extent: Extent | None = None
    texts: TextEmbeddings | None = None
    states: Mapping[int, Float[Tensor, "b n c"]] = field(default_factory=dict)
    blocks: Sequence[Block] = ()
    regions: Int[Tensor, "b H W"] | None = None
    to_joint: Callable[[Float[Tensor, "b n c"]], Float[Tensor, "b n d"]] | None = None
    pool: Callable[[Float[Tensor, "b n c"]], Float[Tensor, "b d"]] | None = None

    def on_grid(self, tokens: Float[Tensor, "b n c"]) -> Float[Tensor, "b c h w"]:
        """The patches among tokens, on their grid; tokens without a prefix are taken as patches alone."""
        count = self.grid[0] * self.grid[1]
        return tokens[:, tokens.shape[1] - count :].mT.unflatten(2, self.grid)

    def output(self) -> Float[Tensor, "b c h w"]:
        """Tokens behind the block as it was trained; a tower of convolutions has no block left to run."""
        return self.on_grid(run_block(self.block, self.tokens)["out"])

    def behind(self, values: Float[Tensor, "b heads n e"], residual: bool, mlp: bool) -> Float[Tensor, "b c h w"]:
        """Tokens behind the block on the grid, of values that a readout has mixed in the place of its attention.

        Args:
            values: of each head.
            residual: add the input of the block.
            mlp: add the feed-forward layers.

        Raises:
            UsageError: where the block has no attention and its input is not to be added.
        """
        tokens = self.block.out(values)
        if not is_residual(self.block):  # an attention that pools: nothing is added to it
            return self.on_grid(tokens)
        if values.shape[1] == 0 and not residual:
            raise UsageError(NO_HEADS.format("values"))
        if residual:
            tokens = self.tokens + tokens
        if mlp:
            tokens = tokens + self.block.mlp(self.block.norm_2(tokens))
        return self.on_grid(tokens)

    def keys(self) -> Float[Tensor, "b c h w"]:
        """The keys of the block's attention on the grid, heads side by side.

        Raises:
            UsageError: where the block has no attention.
        """
        (keys,) = self.block.qkv(self.block.norm_1(self.tokens), "k")
        if keys.shape[1] == 0:
            raise UsageError(NO_HEADS.format("keys"))
        return self.on_grid(keys.transpose(1, 2).flatten(2))


@runtime_checkable
class ImageTower(Protocol):
    """A vision transformer, run from its pieces; one adapter for each library.

    Attributes:
        width: of its tokens.
        depth: number of blocks.
        dim: of the joint space.
        patch_size: side of a patch in pixels.
        prefix: number of tokens before the patches.
        size: (height, width) of the images that it was trained with.
    """

    width: int
    depth: int
    dim: int
    patch_size: int
    prefix: int

    def blocks_on(self, grid: Size, positions: str = "size") -> Sequence[Block]:
        """The blocks, first to last, as they run on a patch grid.

        A block in which places enter, as rotary embeddings do, carries those of the grid, so that whoever asks it for
        queries and keys gets those that it attends with.

        Args:
            grid: patches (down, right), as :meth:`tokens` gives it.
            positions: how a position embedding is resized, as :meth:`tokens` was given it.
        """
        ...

    @property
    def size(self) -> Size: ...

    @property
    def dtype(self) -> torch.dtype: ...

    def head(self) -> tuple[nn.LayerNorm, Tensor]:
        """The last normalisation and the projection (c, d), where these two alone lead to the joint space."""
        ...

    def tokens(self, images: Float[Tensor, "b 3 H W"], positions: str = "size") -> tuple[Float[Tensor, "b n c"], Size]:
        """Tokens that enter the first block, and the patch grid, of images whose sides are multiples of the patch."""
        ...

    def to_joint(self, tokens: Float[Tensor, "b n c"]) -> Float[Tensor, "b n d"]:
        """Each token by itself in the joint space: last normalisation and head."""
        ...

    def pool(self, tokens: Float[Tensor, "b n c"]) -> Float[Tensor, "b d"]:
        """Whole images in the joint space, not normalised, from the tokens behind the last block."""
        ...

    def embed(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b d"]:
        """Whole normalised images of the native size in the joint space, not normalised."""
        ...


@runtime_checkable
class ExtensibleTower(ImageTower, Protocol):
    """An image tower that takes further tokens beside its own."""

    def entering(self, tokens: Float[Tensor, "*b c"]) -> Float[Tensor, "*b c"]:
        """Further tokens, as they enter the first block.

        Raises:
            UsageError: where the tower pools by an attention of its own.
        """
        ...


@runtime_checkable
class ConvolutionalTower(ImageTower, Protocol):
    """An image tower of convolutions: its blocks put out maps, each on a grid of its own, and none is left to read.

    Its tokens are the cells of the last map, and its only block as readers see it is a
    :class:`densevl.core.attention.NoAttention`.
    """

    def maps(
        self, images: Float[Tensor, "b 3 H W"], wanted: Collection[int] = ()
    ) -> tuple[Float[Tensor, "b c h w"], dict[int, Float[Tensor, "b _ _ _"]]]:
        """The last map of normalised images, and what blocks put out by index, from one pass.

        Args:
            images: sides are multiples of the patch.
            wanted: indices of blocks, from 0 to ``depth - 1``.
        """
        ...


@runtime_checkable
class TextTower(Protocol):
    """A text tower with its tokenizer: from sentences to vectors of the joint space."""

    @property
    def context(self) -> int:
        """Tokens that a text may have, start and end included."""
        ...

    @property
    def device(self) -> torch.device: ...

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the arithmetic."""
        ...

    def tokenize(self, sentences: Sequence[str], cut: bool = False) -> Int[Tensor, "q n"]:
        """Token ids, shorter texts padded at the end.

        Args:
            sentences: what is tokenised.
            cut: keep the beginning of a sentence that is too long.

        Raises:
            TextTooLong: where a sentence has more tokens than the context and is not to be cut.
        """
        ...

    def encode(self, tokens: Int[Tensor, "q n"]) -> Float[Tensor, "q d"]:
        """Embeddings of tokenised texts, not normalised."""
        ...

    def fit(self, texts: Sequence[str], template: str = "{}") -> tuple[list[str], int]:
        """Texts without the last words that would not fit in the context, and how many of them lost words."""
        ...


@runtime_checkable
class FrozenTexts(TextTower, Protocol):
    """A text tower whose first part is dear and fixed, such as a language model, and whose rest is cheap.

    What is kept on disk is the output of the first part, so that it runs once a sentence, whatever follows it.
    """

    @property
    def identity(self) -> str:
        """What decides the output of the first part."""
        ...

    def states(self, tokens: Int[Tensor, "q n"]) -> Float[Tensor, "q c"]:
        """The output of the first part."""
        ...

    def adapt(self, vectors: Float[Tensor, "q c"]) -> Float[Tensor, "q d"]:
        """The joint space, from the output of the first part; not normalised."""
        ...


@runtime_checkable
class LearntTemplate(TextTower, Protocol):
    """A text tower that sets each text among learnt tokens, which take the place of any template.

    Attributes:
        templates: what texts are set into before the tower gets them, whatever was asked for.
    """

    @property
    def templates(self) -> Sequence[str]: ...


@runtime_checkable
class TextSpace(Protocol):
    """The joint image-text space that region vectors lie in, with its text encoder.

    Attributes:
        model_id: identity of the encoder and its weights; only vectors of the same identity are compared.
        dim: length of a vector.
        temperature: factor of cosines that the space was trained with.
    """

    @property
    def model_id(self) -> str: ...

    @property
    def dim(self) -> int: ...

    @property
    def temperature(self) -> float: ...

    def embed_texts(self, texts: Sequence[str], templates: Sequence[str] = ("{}",)) -> Float[Tensor, "q d"]:
        """Unit vectors of texts, each the mean over the templates."""
        ...

    def parameters(self) -> Iterator[nn.Parameter]:
        """The weights."""
        ...


@runtime_checkable
class KnowsClasses(Protocol):
    """An encoder that was trained to tell certain classes apart, and knows texts by the classes that they cover.

    Attributes:
        words: what it reads texts with, for reports.
    """

    @property
    def words(self) -> str: ...

    def closed_set(self, texts: Sequence[str]) -> ClosedSet:
        """These classes, and those that each text covers."""
        ...

    def understand(self, texts: Sequence[str]) -> Sequence[Reading | UnknownWord]:
        """How each text is read, or why it is not; a text that is not read is an error everywhere else."""
        ...


def understand(encoder: object, queries: Sequence[tuple[str, int]], names: Sequence[str]) -> Understood | None:
    """How an encoder reads queries; None for one that takes any text.

    Args:
        encoder: of images and texts.
        queries: texts, each with the index of its class.
        names: of the classes.
    """
    if not isinstance(encoder, KnowsClasses):
        return None
    return Understood(tuple(names), tuple(queries), tuple(encoder.understand([text for text, _ in queries])))


@runtime_checkable
class Encoder(Protocol):
    """An image–text encoder of patches, whole images and texts in one space.

    Attributes:
        model_id: identity of architecture and weights; vectors of different ids are never compared.
        dim: width of the joint space.
        width: width of the image tower, which tokens, keys and maps have.
        depth: number of blocks of the image tower.
        patch_size: side of a patch in pixels.
        image_size: (height, width) of the images that it was trained with.
        temperature: factor of cosines that it was trained with.
    """

    model_id: str
    dim: int
    width: int
    depth: int
    patch_size: int
    temperature: float

    @property
    def image_size(self) -> Size: ...

    @property
    def device(self) -> torch.device: ...

    @property
    def dtype(self) -> torch.dtype: ...

    def last_block(
        self,
        images: Float[Tensor, "b 3 H W"],
        needs: Needs = NOTHING,
        *,
        positions: str = "size",
        border: str = "black",
    ) -> LastBlock:
        """Run images of one size, any size, up to the last block."""
        ...

    def to_joint(self, tokens: Float[Tensor, "b n c"]) -> Float[Tensor, "b n d"]:
        """Each token behind the last block by itself in the joint space, not normalised."""
        ...

    def tokens(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b c h w"]:
        """The output of the last block for each patch, before the last normalisation and the projection."""
        ...

    def embed_images(self, images: Float[Tensor, "b 3 H W"], mode: str | None = None) -> Float32[Tensor, "b d"]:
        """Whole images as unit vectors."""
        ...

    def embed_texts(self, texts: Sequence[str], templates: Sequence[str] = ("{}",)) -> Float32[Tensor, "q d"]:
        """Texts as unit vectors."""
        ...

    def fit_texts(self, texts: Sequence[str], template: str = "{}") -> tuple[list[str], int]:
        """Texts that fit the context in the template, and how many of them lost their last words."""
        ...

    def parameters(self) -> Iterator[nn.Parameter]: ...
