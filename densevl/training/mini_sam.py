"""Training of the mini SAM on scenes, from boxes and points.

Kirillov et al., Segment Anything, ICCV 2023, section 3 and appendix A. With P the SAM prompt, m its mask and s_i(P)
the predicted masks, of which a box or several points have one and a single point has three:

    loss = min_i [20 focal(s_i, m) + dice(s_i, m)] + mean_i (predicted IoU_i - IoU(s_i > 0, m))^2

Where we differ: the SAM prompts are drawn at once (``datasets/scenes/segments``), and the masks are compared at
the size of the image.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from torch import Tensor

from densevl.datasets.scenes.segments import draw_boxes, draw_clicks
from densevl.encoders.sam.mini import build_mini_sam

__all__ = ["PromptedSam", "dice_loss", "focal_loss", "mask_iou"]

FOCAL_WEIGHT = 20.0


def focal_loss(
    logits: Float[Tensor, "*b h w"], masks: Bool[Tensor, "*b h w"], alpha: float = 0.25, gamma: float = 2.0
) -> Float[Tensor, "*b"]:
    """Focal loss (Lin et al., ICCV 2017), the mean over the pixels of each mask."""
    wanted = masks.to(logits.dtype)
    entropy = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    balance = (1 - alpha) + (2 * alpha - 1) * wanted
    return (balance * entropy * (1 - (-entropy).exp()) ** gamma).mean((-2, -1))


def dice_loss(logits: Float[Tensor, "*b h w"], masks: Bool[Tensor, "*b h w"]) -> Float[Tensor, "*b"]:
    """One minus the soft Dice overlap of each mask (Milletari et al., V-Net, 3DV 2016)."""
    probable, wanted = logits.sigmoid(), masks.to(logits.dtype)
    shared = (probable * wanted).sum((-2, -1))
    return 1 - (2 * shared + 1) / (probable.sum((-2, -1)) + wanted.sum((-2, -1)) + 1)


def mask_iou(masks: Bool[Tensor, "*b h w"], others: Bool[Tensor, "*b h w"]) -> Float[Tensor, "*b"]:
    """Intersection over union of masks in pairs; 0 where both are empty."""
    shared, joint = (masks & others).sum((-2, -1)), (masks | others).sum((-2, -1))
    return shared / joint.clamp(min=1)


@MODELS.register_module()
class PromptedSam(BaseModel):
    """The mini SAM with its training losses, as MMEngine runs it.

    Args:
        boxes: number of boxes drawn for each image.
        clicks: number of segments clicked on in each image.
        points: numbers of points of which one is drawn for all clicks of a step.
        autocast: compute in bfloat16 where that is safe.
    """

    def __init__(
        self,
        boxes: int = 2,
        clicks: int = 2,
        points: tuple[int, ...] = (1, 1, 1, 3),
        autocast: bool = True,
        seed: int = 0,
    ):
        super().__init__()
        torch.manual_seed(seed)
        self.sam = build_mini_sam()
        self.boxes, self.clicks, self.points, self.autocast = boxes, clicks, points, autocast

    def forward(self, images: Sequence[Tensor], segments: Sequence[Tensor], mode: str = "loss") -> dict[str, Tensor]:
        """Losses of a batch of (3, h, w) images and their maps of segments, each as large as the encoder takes."""
        device = self.sam.device
        pixels = torch.stack([self.sam.preprocess(image.to(device).float()) for image in images])
        with torch.autocast(device.type, torch.bfloat16, enabled=self.autocast):
            embedded = self.sam.image_encoder(pixels)
        drawn = [draw_boxes(numbers.cpu(), self.boxes) for numbers in segments]
        boxes = torch.cat([boxes for boxes, _ in drawn]).to(device)
        sparse, dense = self.sam.prompt_encoder(points=None, boxes=boxes, masks=None)
        of_boxes = self._losses(embedded, sparse, dense, [masks for _, masks in drawn], False)
        count = self.points[int(torch.randint(len(self.points), ()))]
        clicks = [draw_clicks(numbers.cpu(), self.clicks, count) for numbers in segments]
        points = torch.cat([click.points for click in clicks]).to(device)
        labels = torch.cat([click.labels for click in clicks]).to(device)
        sparse, dense = self.sam.prompt_encoder(points=(points, labels), boxes=None, masks=None)
        of_points = self._losses(embedded, sparse, dense, [click.masks for click in clicks], count == 1)
        return {
            "loss_boxes": of_boxes[0],
            "loss_points": of_points[0],
            "loss_iou": of_boxes[1] + of_points[1],
            "iou_boxes": of_boxes[2],
            "iou_points": of_points[2],
        }

    def _losses(
        self, embedded: Tensor, sparse: Tensor, dense: Tensor, masks: Sequence[Tensor], several: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Loss of the masks, loss of the predicted IoU and the IoU reached, for equally many masks of each image."""
        device = embedded.device
        wanted = torch.cat([self._padded(some.to(device)) for some in masks])[:, None]
        with torch.autocast(device.type, torch.bfloat16, enabled=self.autocast):
            logits, quality = self.decode(embedded, sparse, dense, several)
        side = self.sam.image_encoder.img_size
        logits = F.interpolate(logits.float(), (side, side), mode="bilinear", align_corners=False)
        wanted = wanted.expand_as(logits)
        loss = FOCAL_WEIGHT * focal_loss(logits, wanted) + dice_loss(logits, wanted)
        with torch.no_grad():
            reached = mask_iou(logits > self.sam.mask_threshold, wanted)
        return loss.min(1).values.mean(), F.mse_loss(quality.float(), reached), reached.max(1).values.mean()

    def decode(
        self,
        embedded: Float[Tensor, "b c rows columns"],
        sparse: Float[Tensor, "n t c"],
        dense: Float[Tensor, "n c rows columns"],
        several: bool,
    ) -> tuple[Float[Tensor, "n m h w"], Float[Tensor, "n m"]]:
        """Masks and predicted qualities for n = b k SAM prompts, k for each image, in one pass of the decoder.

        The decoder adds one image's embedding to the dense embedding of every SAM prompt. So images are batched by
        adding them to the dense embeddings beforehand, and giving zeros for the one image.
        """
        each = len(sparse) // len(embedded)
        return self.sam.mask_decoder(
            image_embeddings=torch.zeros_like(embedded[:1]),
            image_pe=self.sam.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense + embedded.repeat_interleave(each, 0),
            multimask_output=several,
        )

    def _padded(self, masks: Tensor) -> Tensor:
        side = self.sam.image_encoder.img_size
        return F.pad(masks, (0, side - masks.shape[-1], 0, side - masks.shape[-2]))
