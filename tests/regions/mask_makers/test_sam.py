"""SAM against segment_anything's own predictor, and its errors."""

import json
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from segment_anything import SamPredictor

from densevl.core.errors import ImageError, UsageError, WeightsError
from densevl.core.regions import Regions
from densevl.core.registry import build
from densevl.encoders.sam.mini import build_mini_sam
from densevl.encoders.sam.model import build_sam_model
from densevl.regions.mask_makers import MASK_MAKERS
from densevl.regions.mask_makers.sam import Sam, build_sam
from densevl.weights import load_state_dict, weights_entry

BOXES = [[10, 8, 60, 70], [0, 0, 131, 96], [90.5, 20.25, 128, 60.75], [40, 40, 44, 43]]


def predictor(sam: Sam, image: np.ndarray) -> SamPredictor:
    oracle = SamPredictor(sam.model)
    oracle.set_image(image)
    return oracle


def test_boxes_give_the_masks_of_the_predictor(seeded_sam, garden):
    oracle = predictor(seeded_sam, garden)
    masks = seeded_sam.from_boxes(garden, BOXES)
    assert masks.shape == (4, 96, 131)
    assert 0 < masks.float().mean() < 1
    for box, mask in zip(BOXES, masks, strict=True):
        theirs = oracle.predict(box=np.array(box), multimask_output=False)[0][0]
        assert (mask.numpy() == theirs).all()


@pytest.mark.parametrize("size", [(96, 131), (160, 90), (33, 300), (160, 160), (7, 5)])
def test_any_size_of_image(seeded_sam, size):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    box = [0, 0, size[1] / 2, size[0] / 2]
    theirs = predictor(seeded_sam, image).predict(box=np.array(box), multimask_output=False)[0][0]
    assert (seeded_sam.from_boxes(image, [box])[0].numpy() == theirs).all()


def test_points_give_the_masks_of_the_predictor(seeded_sam, garden):
    oracle = predictor(seeded_sam, garden)
    single = torch.tensor([[[20.0, 30.0]], [[100.0, 50.0]], [[0.0, 0.0]]])
    for row, mask in zip(single, seeded_sam.from_points(garden, single), strict=True):
        masks, quality, _ = oracle.predict(point_coords=row.numpy(), point_labels=np.array([1]))
        assert (mask.numpy() == masks[quality.argmax()]).all()
    several, labels = torch.tensor([[[20.0, 30.0], [90.0, 10.0], [64.0, 48.0]]]), torch.tensor([[1, 0, 1]])
    mask = seeded_sam.from_points(garden, several, labels)[0]
    theirs = oracle.predict(several[0].numpy(), labels[0].numpy(), multimask_output=False)[0][0]
    assert (mask.numpy() == theirs).all()


def test_a_batch_gives_what_its_members_give(seeded_sam, garden):
    prepared = seeded_sam.encode(garden)
    together = seeded_sam.from_boxes(prepared, BOXES)
    alone = torch.cat([seeded_sam.from_boxes(prepared, [box]) for box in BOXES])
    assert torch.equal(together, alone)
    seeded_sam.batch, before = 3, seeded_sam.batch
    try:
        assert torch.equal(seeded_sam.from_boxes(prepared, BOXES), together)
    finally:
        seeded_sam.batch = before


def test_the_image_is_encoded_once(seeded_sam, garden, monkeypatch):
    runs = []
    stem = seeded_sam.model.image_encoder.patch_embed
    forward = stem.forward
    monkeypatch.setattr(stem, "forward", lambda x: runs.append(len(x)) or forward(x))
    sam = Sam(seeded_sam.model, "seeded SAM", "sam-seeded@3", automatic={"points_per_side": 3})
    prepared = sam.encode(garden)
    sam.from_boxes(prepared, BOXES)
    sam.from_points(prepared, [[[3, 4]]])
    sam.everything(prepared)
    assert sam.encode(prepared) is prepared
    assert runs == [1]


def test_no_boxes_and_regions(seeded_sam, garden):
    assert seeded_sam.from_boxes(garden, []).shape == (0, 96, 131)
    regions = Regions.from_boxes(BOXES, (96, 131))
    assert torch.equal(seeded_sam.from_boxes(garden, regions), seeded_sam.from_boxes(garden, BOXES))
    with pytest.raises(UsageError, match=r"regions are of an image of \(50, 60\)"):
        seeded_sam.from_boxes(garden, Regions.whole((50, 60)))


def test_bfloat16_in_the_image_encoder_alone(seeded_sam, garden):
    sam = Sam(deepcopy(seeded_sam.model), "seeded SAM", "sam-seeded@3", small=0).to("cpu", "bfloat16")
    exact, rough = seeded_sam.from_boxes(garden, BOXES), sam.from_boxes(garden, BOXES)
    assert {p.dtype for p in sam.model.image_encoder.parameters()} == {torch.bfloat16}
    assert {p.dtype for p in sam.model.mask_decoder.parameters()} == {torch.float32}
    assert 0.9 < (exact == rough).float().mean() < 1


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([[140, 10, 150, 20]], "empty, or lies outside"),
        ([[10, 10, 10, 20]], "empty"),
        ([[50, 10, 20, 20]], "reversed"),
        ([[float("nan"), 10, 20, 20]], "not finite"),
        ([[10, 10, 20]], r"shape \(n, 4\)"),
    ],
)
def test_boxes_that_cannot_be_used(seeded_sam, garden, boxes, message):
    with pytest.raises(UsageError, match=message):
        seeded_sam.from_boxes(garden, boxes)


@pytest.mark.parametrize(
    ("points", "labels", "message"),
    [
        ([[131, 10]], None, r"shape \(n, k, 2\)"),
        ([[[131, 10]]], None, "131, 10.*outside the image, which is 131 wide and 96 high"),
        ([[[float("nan"), 10]]], None, "outside the image"),
        ([[[3, 10]]], [[2]], "labels must be 1"),
        ([[[3, 10]]], [[1, 1]], r"labels must have shape \(1, 1\)"),
        (np.zeros((2, 0, 2)), None, "k points a mask"),
        ("here", None, "points must be numbers"),
    ],
)
def test_points_that_cannot_be_used(seeded_sam, garden, points, labels, message):
    with pytest.raises(UsageError, match=message):
        seeded_sam.from_points(garden, points, labels)


def test_images_that_cannot_be_used(seeded_sam):
    with pytest.raises(ImageError, match="vanishes where its longer side is scaled to 160; cut it"):
        seeded_sam.encode(np.zeros((1, 1000, 3), np.uint8))
    assert seeded_sam.from_boxes(np.zeros((1, 1, 3), np.uint8), [[0, 0, 1, 1]]).shape == (1, 1, 1)
    with pytest.raises(ImageError, match="no such file"):
        seeded_sam.encode("nowhere.png")


def test_an_image_that_another_maker_prepared(seeded_sam, garden):
    prepared = replace(seeded_sam.encode(garden), model_id="sam-vit_b@0")
    with pytest.raises(UsageError, match="prepared by sam-vit_b@0, and sam-seeded@3"):
        seeded_sam.from_boxes(prepared, BOXES)


def test_weights_of_another_size(tmp_path):
    state = build_mini_sam().state_dict()
    save_file(state, tmp_path / "mini.safetensors")
    with pytest.raises(WeightsError, match="made for another model"):
        build_sam(tmp_path / "mini.safetensors", arch="vit_b")
    state["image_encoder.pos_embed"] = torch.zeros(1, 20, 20, 96)
    save_file(state, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match=r"no weights of SAM.*shape \(1, 20, 20, 96\)"):
        build_sam(tmp_path / "other.safetensors")
    with pytest.raises(UsageError, match="did you mean vit_b"):
        build_sam(tmp_path / "mini.safetensors", arch="vit-b")
    with pytest.raises(UsageError, match="no SAM but mini-clip"):
        build_sam("mini-clip")


def test_a_file_tells_its_architecture(tmp_path, seeded_sam, garden):
    save_file(seeded_sam.model.state_dict(), tmp_path / "mini.safetensors")
    sam = build(MASK_MAKERS, {"type": "sam", "weights": str(tmp_path / "mini.safetensors"), "small": 0})
    assert torch.equal(sam.from_boxes(garden, BOXES), seeded_sam.from_boxes(garden, BOXES))
    assert sam.name == "mini SAM"
    assert sam.model_id.startswith("sam-mini@")


@pytest.mark.slow
def test_official_weights_load_as_they_are_published(tmp_path):
    """The real ViT-B with seeded weights in a file as Meta's: torch.save of the state dict alone."""
    from segment_anything import sam_model_registry

    theirs = sam_model_registry["vit_b"]()
    torch.save(theirs.state_dict(), tmp_path / "sam_vit_b_01ec64.pth")
    ours = build_sam_model("vit_b", load_state_dict(tmp_path / "sam_vit_b_01ec64.pth"), "file")
    assert all(torch.equal(value, ours.state_dict()[name]) for name, value in theirs.state_dict().items())
    assert torch.equal(ours.pixel_mean, theirs.pixel_mean)


@pytest.mark.parametrize("letter", ["b", "l", "h"])
def test_facts_of_the_weights_table(letter):
    from segment_anything import sam_model_registry

    entry = weights_entry(f"sam-vit-{letter}")
    with torch.device("meta"):
        model = sam_model_registry[entry.arch]()
    assert sum(parameter.numel() for parameter in model.parameters()) == entry.parameters
    assert 0 < entry.size - 4 * entry.parameters < 200_000
    assert entry.address.endswith(entry.file)


def test_identity_tells_settings_apart(seeded_sam):
    other = Sam(seeded_sam.model, "seeded SAM", "sam-seeded@3", small=0, automatic={"stability": 0.9})
    assert other.model_id != seeded_sam.model_id
    assert json.dumps(other.model_id).isascii()
    with pytest.raises(UsageError, match="automatic does not take"):
        Sam(seeded_sam.model, "seeded SAM", "sam-seeded@3", automatic={"points": 0.9})
    with pytest.raises(UsageError, match="fraction small"):
        Sam(seeded_sam.model, "seeded SAM", "sam-seeded@3", small=400)


def test_random_weights():
    sam = build_sam("random:1", "mini-sam")
    assert sam.model_id.startswith("sam-mini-sam@random:1,")
    again = build_sam("random:1", "mini-sam").model.state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in sam.model.state_dict().items())
    with pytest.raises(UsageError, match="architecture 'vit_x' is unknown"):
        build_sam("random:0", "vit_x")
