"""TextRegion against the outputs of its published code: patches left out, region tokens, labels."""

from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from toys.dense_golden import assert_close, outputs, rules
from toys.golden import golden_folder  # noqa: F401 - the shared folder decides whether this runs

from densevl.core.features import TextEmbeddings
from densevl.core.regions import Regions
from densevl.core.vocabulary import Vocabulary
from densevl.regions.embedders.text_region import TextRegion, between_regions, masks_on_grid
from densevl.tasks.segmentation.region_segmentor import RegionSegmentor


def case_and_regions():
    case = outputs("textregion")
    height, width = case["size"].tolist()
    masks = torch.from_numpy(np.unpackbits(case["masks"], axis=2)[:, :, :width].astype(bool))
    return case, rules().rule_image(case["image"], height, width), Regions.from_masks(masks)


def embedder(encoder, case, **changes):
    settings = {"short_side": None, "crop": case["crop"], "removal": case["threshold"], "drop": True, **changes}
    return TextRegion(encoder, positions="plus", **settings)


def kept_of(found, expected, kept):
    """Region tokens as the reference has them: it leaves out regions without a patch, which are zero here."""
    return found[torch.from_numpy(kept)] if len(expected) < len(found) else found


def test_region_tokens(quick_rule_encoder):
    case, image, regions = case_and_regions()
    made = embedder(quick_rule_encoder, case)
    values, last = made.values(image)
    grid = tuple(values.shape[2:])
    soft = masks_on_grid(regions.masks, grid).flatten(1)
    units = F.normalize(values.flatten(2).flatten(0, 1), dim=0).mT
    removed = between_regions(units, soft > 0, case["threshold"]).unflatten(0, grid)
    assert (removed.numpy() == case["removed_patches"]).all()
    found = made.tokens(values, last, regions.masks)
    assert (found.any(1).numpy() == case["kept"]).all()
    assert_close(kept_of(found, case["regions"], case["kept"]), case["regions"])
    plain = embedder(quick_rule_encoder, case, removal=None)
    assert_close(plain.tokens(values, last, regions.masks), case["regions_plain"])
    assert (plain.embed(image, regions).vectors - torch.from_numpy(case["regions_plain"])).abs().max() < 1e-4


def test_labels(quick_rule_encoder):
    case, image, regions = case_and_regions()
    segmentor = RegionSegmentor(
        quick_rule_encoder,
        embedder(quick_rule_encoder, case),
        overlap="sum",
        uncovered="even",
        temperature=float(case["scale"]),
        short_side=64,
        window=None,
    )
    count = len(case["text"])
    classes = Vocabulary("reference", tuple((f"class {i}",) for i in range(count)))
    text = torch.from_numpy(case["text"])
    texts = TextEmbeddings(text, torch.arange(count), classes, quick_rule_encoder.model_id, "none")
    (encoded,) = segmentor.encode_regions([image], [regions])
    labels, best = segmentor.label(replace(encoded), texts)
    assert (labels[::4, ::4].numpy() == case["labels_sub"]).mean() >= 0.999
    bare = ~regions.masks.any(0)
    assert torch.allclose(best[bare], torch.tensor(1 / count))
