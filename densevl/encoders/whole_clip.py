"""CLIP as an encoder of whole images and of texts: any model of open_clip, ResNets included.

Marked images need no more than this. A model whose patches are wanted is a ViT, and belongs in
:class:`densevl.encoders.CLIPEncoder`.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32
from open_clip import CLIP, OPENAI_DATASET_MEAN, OPENAI_DATASET_STD, CoCa, CustomTextCLIP
from torch import Tensor, nn

from densevl.encoders.clip_image import check_images, fit
from densevl.encoders.clip_text import TextTower, embed_texts
from densevl.encoders.text_cache import TextCache
from densevl.structures import Size

__all__ = ["WholeImageEncoder"]


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
