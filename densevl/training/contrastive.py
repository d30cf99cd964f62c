"""Contrastive training of the mini CLIP on images and image-level text.

No mask and no box is ever seen. What is known of an image is a caption and the list of its *things*, each in words of
several levels: ("red circle", "red shape", "circle") or ("grass", "grass", "grass"). The words of a batch are pooled
level by level, as the alternatives among which a patch has to choose, and a word counts as true of every image that
holds it. With z_l the scaled cosines of a patch, read as MaskCLIP reads it, to the words of level l, p_l = softmax(z_l)
and p(t) = prod_l p_l(t_l) the probability that the patch shows the thing t:

- explain: every patch shows some thing of its image, ``-log sum_t p(t)`` (learning from partial labels,
  Jin & Ghahramani, NIPS 2002); since a thing must fit in all its words, its colour helps to find its shape;
- cover: every thing is shown somewhere, ``-mean of the q best log p(t)`` (multiple instances);
- contrast: the pooled embedding against the captions of the batch, both ways, with a caption counted as true of every
  image that holds all it names (Radford et al., CLIP, ICML 2021, with several positives).
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from torch import Tensor, nn

from densevl.datasets.scenes.training import SceneText
from densevl.encoders.clip import OPENAI_MEAN, OPENAI_STD
from densevl.encoders.mini import build_mini_clip
from densevl.encoders.towers.open_clip import OpenClipBlock
from densevl.encoders.towers.positions import resize_positions

__all__ = ["ContrastiveCLIP", "contained", "contrast_loss", "cover_loss", "explain_loss"]

TEMPLATES = (
    "{}", "{}", "a {}", "a {}.", "the {}", "a photo of a {}.", "a photo of the {}.", "a picture of a {}.",
    "an image of a {}.", "there is a {}.", "a drawing of a {}.", "a {} in the scene.", "this is a {}",
)  # fmt: skip


def explain_loss(
    log_p: Float[Tensor, "b n t"], real: Bool[Tensor, "b t"], likeness: Float[Tensor, "b n n"], balance: float
) -> Float[Tensor, ""]:
    """Mean over all patches of the expected negative log probability of the thing that they show.

    One step of expectation maximisation: which thing a patch shows is judged from the patches like it together, and
    in favour of things that claim less than an equal fraction of the image; this judgement is taken as given.

    Args:
        log_p: of each thing at each patch.
        real: which of the things the image has.
        likeness: weight of each patch in the judgement on another; rows sum to one.
        balance: exponent of (equal fraction / claimed fraction).
    """
    with torch.no_grad():
        evidence = (likeness @ log_p.clamp(min=-30)).masked_fill(~real[:, None], float("-inf"))
        claimed = evidence.softmax(-1).mean(1).clamp(min=1e-3)
        shown = evidence.softmax(-1) * (claimed * real.sum(-1, keepdim=True))[:, None] ** -balance
        shown = shown / shown.sum(-1, keepdim=True)
    return -(shown * log_p).sum(-1).mean()


def patch_likeness(
    images: Float[Tensor, "b 3 H W"], patch_size: int, colour_scale: float = 0.08, radius: float = 3.0
) -> Float[Tensor, "b n n"]:
    """Likeness of patches in mean colour and place, as weights whose rows sum to one.

    Args:
        images: RGB in [0, 1].
        patch_size: in pixels.
        colour_scale: standard deviation in colour.
        radius: standard deviation in place, in patches.
    """
    colour = F.avg_pool2d(images, patch_size)
    rows, columns = colour.shape[-2:]
    colour = colour.flatten(2).mT / colour_scale
    place = torch.cartesian_prod(torch.arange(rows), torch.arange(columns)).to(colour) / radius
    distance = torch.cdist(colour, colour).square() + torch.cdist(place, place).square()
    return (-distance / 2).softmax(-1)


def cover_loss(log_p: Float[Tensor, "b n t"], real: Bool[Tensor, "b t"], best: int) -> Float[Tensor, ""]:
    """Mean over all real things of the negative log probability of the thing at its ``best`` patches."""
    top = log_p.topk(min(best, log_p.shape[1]), dim=1).values.mean(1)
    return -top[real].mean()


def contrast_loss(logits: Float[Tensor, "b t"], true: Bool[Tensor, "b t"]) -> Float[Tensor, ""]:
    """Softmax contrast with several positives, the mean of both directions; each row and column has a positive."""
    positives = logits.masked_fill(~true, float("-inf"))
    rows = logits.logsumexp(1) - positives.logsumexp(1)
    columns = logits.logsumexp(0) - positives.logsumexp(0)
    return (rows.mean() + columns.mean()) / 2


@MODELS.register_module()
class ContrastiveCLIP(BaseModel):
    """The mini CLIP with its training losses, as MMEngine runs it.

    Args:
        cover_patches: q of the cover loss.
        weights: factors of (contrast, explain, cover).
        ramp: the explain loss has a tenth of its weight up to the first of these steps and all of it from the second,
            so that the things have been found somewhere before every patch is given to one: begun at once, the ground
            takes the insides of the objects and keeps them.
        balance: exponent of the explain loss.
        autocast: compute in bfloat16 where that is safe.
    """

    def __init__(
        self,
        cover_patches: int = 3,
        weights: tuple[float, float, float] = (1.0, 1.0, 1.0),
        ramp: tuple[int, int] = (300, 900),
        balance: float = 0.5,
        autocast: bool = True,
        seed: int = 0,
    ):
        super().__init__()
        torch.manual_seed(seed)
        self.clip, self.tokenizer = build_mini_clip()
        self.cover_patches, self.weights, self.autocast = cover_patches, weights, autocast
        self.ramp, self.balance = ramp, balance
        self.register_buffer("step", torch.zeros((), dtype=torch.long))
        self.register_buffer("mean", torch.tensor(OPENAI_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(OPENAI_STD).view(1, 3, 1, 1), persistent=False)

    def forward(
        self, images: Sequence[Tensor] | Tensor, texts: Sequence[SceneText], mode: str = "loss"
    ) -> dict[str, Tensor]:
        """Losses of a batch of (3, H, W) uint8 images of one size and their texts."""
        batch = images if isinstance(images, Tensor) else torch.stack(tuple(images))
        device = self.clip.logit_scale.device
        with torch.autocast(device.type, torch.bfloat16, enabled=self.autocast):
            pixels = batch.to(device).float() / 255
            patches, pooled = self.read(pixels)
            pools, words = _pools(texts)
            names = [name for pool in pools for name in pool]
            drawn = torch.randint(len(TEMPLATES), (len(names),)).tolist()
            written = [TEMPLATES[i].format(name) for i, name in zip(drawn, names, strict=True)]
            embedded = self.embed_texts([text.caption for text in texts] + written)
        patches, pooled, embedded = (F.normalize(x.float(), dim=-1) for x in (patches, pooled, embedded))
        scale = self.clip.logit_scale.exp().clamp(max=100)
        of_captions, *of_levels = embedded.split([len(texts), *(len(pool) for pool in pools)])
        words = words.to(device)
        real = words[..., 0] >= 0
        likeness = patch_likeness(pixels, self.clip.visual.patch_size[0])
        log_p = patches.new_zeros(())
        for level, vectors in enumerate(of_levels):
            index = words[..., level].clamp(min=0)[:, None].expand(-1, patches.shape[1], -1)
            log_p = log_p + (scale * patches @ vectors.T).log_softmax(-1).gather(2, index)
        contrast, explain, cover = self.weights
        explain *= self._eased()
        return {
            "loss_contrast": contrast * contrast_loss(scale * pooled @ of_captions.T, contained(texts).to(device)),
            "loss_explain": explain * explain_loss(log_p, real, likeness, self.balance),
            "loss_cover": cover * cover_loss(log_p, real, self.cover_patches),
        }

    def _eased(self) -> float:
        """Factor of the explain loss at this step; counts the step."""
        begin, end = self.ramp
        done = min(max((int(self.step) - begin) / max(end - begin, 1), 0.0), 1.0)
        self.step += self.training
        return 0.1 + 0.9 * done

    def read(self, images: Float[Tensor, "b 3 h w"]) -> tuple[Float[Tensor, "b n d"], Float[Tensor, "b d"]]:
        """Patch vectors through the value path of the last block, and the pooled vector of the ordinary forward."""
        visual = self.clip.visual
        x = visual.conv1((images - self.mean) / self.std)
        positions = resize_positions(visual.positional_embedding, tuple(visual.grid_size), tuple(x.shape[-2:]))
        x = x.flatten(2).transpose(1, 2)
        token = visual.class_embedding.to(x.dtype).expand(len(x), 1, -1)
        x = visual.ln_pre(torch.cat([token, x], 1) + positions.to(x.dtype))
        *blocks, last = visual.transformer.resblocks
        for block in blocks:
            x = _finished(block, x + _attended(block.attn, block.ln_1(x)))
        normed = last.ln_1(x)
        view = OpenClipBlock(last)
        value = _finished(last, x + view.out(*view.qkv(normed, "v")))
        mixed = _finished(last, x + _attended(last.attn, normed))
        patches = visual.ln_post(value[:, 1:]) @ visual.proj
        pooled = visual.ln_post(mixed[:, 1:]).mean(1) @ visual.proj
        return patches, pooled

    def embed_texts(self, texts: Sequence[str]) -> Float[Tensor, "t d"]:
        """Text vectors; the context is cut to the longest text, which a causal encoder cannot notice."""
        clip = self.clip
        tokens = self.tokenizer(list(texts)).to(clip.logit_scale.device)
        ends = tokens.argmax(-1)
        length = int(ends.max()) + 1
        x = clip.token_embedding(tokens[:, :length]) + clip.positional_embedding[:length]
        x = clip.transformer(x, attn_mask=clip.attn_mask[:length, :length])
        x = clip.ln_final(x)[torch.arange(len(tokens), device=x.device), ends]
        return x @ clip.text_projection


def _attended(attn: nn.MultiheadAttention, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
    """Self-attention by two matrix products: for training in bfloat16 on a CPU four times as fast as the fused one."""
    projected = F.linear(x, attn.in_proj_weight, attn.in_proj_bias)
    query, key, value = projected.unflatten(-1, (3, attn.num_heads, -1)).permute(2, 0, 3, 1, 4)
    weights = ((query * query.shape[-1] ** -0.5) @ key.mT).softmax(-1)
    return attn.out_proj((weights @ value).transpose(1, 2).flatten(2))


def _finished(block: Any, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
    """The second half of a block."""
    return x + block.mlp(block.ln_2(x))


def _pools(texts: Sequence[SceneText]) -> tuple[list[list[str]], Int[Tensor, "b t l"]]:
    """The words of each level in the batch, and the place of each image's things among them, -1 for no thing."""
    levels = len(texts[0].things[0])
    pools = [sorted({thing[level] for text in texts for thing in text.things}) for level in range(levels)]
    places = [{word: i for i, word in enumerate(pool)} for pool in pools]
    words = torch.full((len(texts), max(len(text.things) for text in texts), levels), -1)
    for row, text in enumerate(texts):
        for column, thing in enumerate(text.things):
            words[row, column] = torch.tensor([places[level][word] for level, word in enumerate(thing)])
    return pools, words


def contained(texts: Sequence[SceneText]) -> Bool[Tensor, "b b"]:
    """Pairs (i, j) where image i holds everything that caption j names."""
    held = [frozenset(text.things) for text in texts]
    return torch.tensor([[other <= own for other in held] for own in held])
