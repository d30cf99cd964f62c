"""Quality of a mask maker on held-out scenes, whose masks are known exactly.

python -m densevl.training.mask_quality mini-sam
python -m densevl.training.mask_quality grabcut
"""

import argparse
import json

import cv2
import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor
from tqdm import tqdm

from densevl.datasets.scenes import render
from densevl.regions.mask_makers.grabcut import GrabCut
from densevl.regions.mask_makers.maker import MaskMaker
from densevl.regions.mask_makers.sam import build_sam
from densevl.training.mini_sam import mask_iou

__all__ = ["mask_quality"]


def mask_quality(maker: MaskMaker, count: int, seed: int = 1, size: int = 128) -> dict[str, float]:
    """Masks of the objects of held-out scenes.

    Args:
        maker: what makes the masks.
        count: number of scenes.
        seed: number of the collection.
        size: side of the square scenes in pixels.

    Returns:
        Mean IoU of the masks from true boxes. Unless it is GrabCut, also that of the masks from one point (the
        innermost of each object), the fraction of objects that some proposal covers with an IoU above 0.5, and the
        mean number of proposals.
    """
    found: dict[str, list[float]] = {"boxes": []}
    for index in tqdm(range(count), desc="scenes", disable=None):
        scene = render(seed, index, size, "val")
        truth = torch.from_numpy(np.stack([item.mask for item in scene.objects]))
        prepared = maker.encode(scene.image)
        found["boxes"] += mask_iou(maker.from_boxes(prepared, [item.box for item in scene.objects]), truth).tolist()
        if isinstance(maker, GrabCut):
            continue
        points = [[innermost(mask)] for mask in truth]
        found.setdefault("points", []).extend(mask_iou(maker.from_points(prepared, points), truth).tolist())
        regions = maker.everything(prepared)
        proposals = truth[:0] if regions.masks is None else regions.masks
        best = [
            float(mask_iou(proposals, mask.expand_as(proposals)).max()) if len(proposals) else 0.0 for mask in truth
        ]
        found.setdefault("proposal_recall", []).extend(float(value > 0.5) for value in best)
        found.setdefault("proposals", []).append(len(proposals))
    return {name: round(float(np.mean(values)), 3) for name, values in found.items()}


def innermost(mask: Bool[Tensor, "h w"]) -> tuple[float, float]:
    """The (x, y) of the pixel of a mask that is farthest from its edge."""
    depth = cv2.distanceTransform(np.pad(mask.numpy().astype(np.uint8), 1), cv2.DIST_L2, 5)
    row, column = np.unravel_index(depth.argmax(), depth.shape)
    return float(column - 1), float(row - 1)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure a mask maker on held-out scenes.")
    parser.add_argument("maker", help="grabcut, a SAM of the weights table, or a file of SAM weights")
    parser.add_argument("--count", type=int, default=200, help="number of scenes (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="number of the collection (default: %(default)s)")
    args = parser.parse_args()
    maker: MaskMaker = GrabCut() if args.maker == "grabcut" else build_sam(args.maker)
    print(json.dumps({"maker": maker.model_id, "scenes": args.count, **mask_quality(maker, args.count, args.seed)}))


if __name__ == "__main__":
    main()
