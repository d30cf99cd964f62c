"""The parts of a loaded model: what they share, and where arguments go."""

import pytest
import torch

import densevl
from densevl.core.errors import UsageError
from densevl.core.regions import Regions
from densevl.datasets.scenes import render
from densevl.regions.embedders.marked_images import MarkedImages
from densevl.regions.embedders.mask_pooling import MaskPooling
from densevl.regions.embedders.prompted import PromptedRegions


@pytest.fixture(scope="module")
def scene():
    return render(3, 5, size=(64, 96), split="val", count=(3, 3))


@pytest.fixture(scope="module")
def boxes(scene):
    return [list(item.box) for item in scene.objects]


@pytest.fixture(scope="module")
def model():
    return densevl.load("mini", device="cpu")


def test_encoder_and_mask_maker_are_loaded_once(model):
    clip = model.segmentor.encoder
    assert isinstance(model.embedder, PromptedRegions)
    assert model.embedder.encoder.encoder is clip
    assert model.grounder.embedders[0].encoder is clip
    assert model.mask_maker is model.grounder.mask_maker


def test_models_without_an_embedder_of_their_own():
    pooling = densevl.load("mini-maskclip", device="cpu", short_side=96)
    assert isinstance(pooling.embedder, MaskPooling)
    assert pooling.embedder.encoder is pooling.segmentor.encoder
    assert pooling.embedder.short_side == pooling.segmentor.short_side == 96
    assert pooling.mask_maker is None
    regions = densevl.load("mini-regions", device="cpu", lazy=True)
    assert regions.embedder is regions.segmentor.embedder
    assert regions.mask_maker is regions.segmentor.mask_maker
    marks = {"type": "marked-images", "encoder": {"type": "clip", "weights": "mini-clip"}, "visual_prompts": ["crop"]}
    grounds = densevl.load({"embedders": [marks], "negatives": None}, device="cpu")
    assert isinstance(grounds.embedder, MarkedImages)
    assert grounds.embedder.encoder is grounds.grounder.embedders[0].encoder


def test_an_argument_goes_to_every_part_that_takes_it(scene):
    model = densevl.load("mini", device="cpu", relations=False, template="a photo of {}", short_side=96, hint="mask")
    assert not model.grounder.relations
    assert model.grounder.template == "a photo of {}"
    assert model.segmentor.short_side == 96
    assert model.embedder.hint == "mask"
    with pytest.raises(UsageError, match=r"'mini' takes no argument 'parsr'; did you mean parser\?"):
        densevl.load("mini", parsr="rules")
    with pytest.raises(UsageError, match="'maskclip' takes no argument 'parser'"):
        densevl.load("maskclip", lazy=True, parser="rules")
    with pytest.raises(UsageError, match="embedder 'mask-poling' is unknown; did you mean mask-pooling"):
        densevl.load("mini", embedder="mask-poling")


def test_another_embedder_and_another_mask_maker(scene, boxes):
    model = densevl.load("mini", device="cpu", embedder="mask-pooling", mask_maker="grabcut")
    assert isinstance(model.embedder, MaskPooling)
    assert model.embedder.encoder is model.segmentor.encoder
    assert len(model.embedder.dense.refiners) == len(model.segmentor.refiners) == 1
    assert model.grounder.mask_maker.name == model.mask_maker.name == "GrabCut"
    built = densevl.load("mini", device="cpu", embedder=model.embedder)
    assert built.embedder is model.embedder


def test_configs_of_several_parts():
    encoder = {"type": "random-clip", "arch": "mini-clip", "seed": 0}
    config = {"segmentor": {"encoder": encoder, "templates": "none"}, "embedder": {"type": "mask-pooling"}}
    model = densevl.load(config, device="cpu")
    assert model.embedder.encoder is model.segmentor.encoder
    with pytest.raises(UsageError, match="made of segmentor, grounder, embedder, mask_maker; got detector"):
        densevl.load({**config, "detector": "owlv2"})
    assert densevl.load({**config, "mask_maker": "grabcut"}, device="cpu").mask_maker.name == "GrabCut"


def test_random_weights_reach_the_embedder():
    model = densevl.load("mini-maskclip", device="cpu", weights="random:3")
    assert model.embedder.encoder is model.segmentor.encoder
    assert "random:3" in model.embedder.encoder.model_id


def test_embeddings_of_boxes_masks_and_regions(model, scene, boxes, tmp_path):
    import json

    regions = Regions.from_boxes(boxes, scene.image.shape[:2])
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    expected = model.embed(scene.image, regions)
    assert expected.vectors.shape == (3, model.segmentor.encoder.dim)
    torch.testing.assert_close(expected.vectors.norm(dim=1), torch.ones(3))
    for form in (boxes, torch.tensor(boxes), tmp_path / "boxes.json", str(tmp_path / "boxes.json")):
        torch.testing.assert_close(model.embed(scene.image, form).vectors, expected.vectors)
    masks = torch.stack([torch.from_numpy(item.mask) for item in scene.objects])
    assert model.embed(scene.image, masks).vectors.shape == expected.vectors.shape


def test_a_list_of_images_is_embedded_as_each_of_them(model, scene, boxes):
    images, given = [scene.image, scene.image[:40, :50], scene.image], [boxes, [], boxes[:1]]
    many = model.embed(images, given)
    assert [len(one) for one in many] == [3, 0, 1]
    for one, image, regions in zip(many, images, given, strict=True):
        torch.testing.assert_close(one.vectors, model.embed(image, regions).vectors, atol=1e-5, rtol=0)
    assert len({one.model_id for one in many}) == 1
    with pytest.raises(UsageError, match="each of the 3 images; got 1"):
        model.embed(images, [boxes])


def test_texts_are_compared_with_regions_of_the_same_model_alone(model, scene, boxes):
    texts = model.embed_texts([item.name for item in scene.objects])
    cosines = model.embed(scene.image, boxes).cosines(texts)
    assert cosines.shape == (3, 3)
    assert (cosines.argmax(1) == torch.arange(3)).sum() >= 2
    other = densevl.load("mini-maskclip", device="cpu")
    with pytest.raises(UsageError, match=r"encoded by 'mini-clip@.*\+prompter@.*' and the texts by 'mini-clip@"):
        model.embed(scene.image, boxes).cosines(other.embed_texts(["ring"]))
    with pytest.raises(UsageError, match="texts must be a list"):
        model.embed_texts("ring")
    with pytest.raises(UsageError):
        model.embed_texts([" "])


def test_a_model_without_a_mask_maker_proposes_a_grid(scene):
    model = densevl.load("mini-maskclip", device="cpu")
    regions = model.propose(scene.image)
    assert len(regions) == 1 + 9 + 49
    assert regions.boxes[0].tolist() == [0, 0, 96, 64]
    assert len(model.embed(scene.image)) == 59
    marks = {"type": "marked-images", "visual_prompts": ["blur_mask"]}
    masked = densevl.load("mini-maskclip", device="cpu", embedder=marks)
    with pytest.raises(UsageError, match=r"by their masks and has nothing that makes them"):
        masked.embed(scene.image, [[1, 2, 30, 40]])


def test_vectors_need_masks_only_where_the_embedder_does(scene, boxes):
    marks = {"type": "marked-images", "visual_prompts": ["blur_mask"]}
    model = densevl.load("mini-maskclip", device="cpu", embedder=marks, mask_maker="grabcut")
    assert model.embed(scene.image, boxes).vectors.shape[0] == 3


def test_a_model_put_together_by_hand_says_what_it_lacks(model, scene, boxes):
    with pytest.raises(UsageError, match="without a region embedder"):
        densevl.Model(model.segmentor, "pixels").embed(scene.image, boxes)
