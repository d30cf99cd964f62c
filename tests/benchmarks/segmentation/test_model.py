import numpy as np
import pytest
import torch
from mmengine.runner import load_checkpoint

from densevl.api.loading import load
from densevl.benchmarks.segmentation.datasets import ScenesDataset
from densevl.benchmarks.segmentation.model import OpenVocabularyModel
from densevl.benchmarks.segmentation.pipeline import PIPELINE
from densevl.core.errors import UsageError, WeightsError
from densevl.core.vocabulary import Vocabulary
from densevl.metrics.confusion import scores_of

WORDS = Vocabulary.parse("red circle, blue star|azure star, grass")


@pytest.fixture(scope="module")
def model() -> OpenVocabularyModel:
    model = OpenVocabularyModel("mini", weights="random:0", templates="none")
    model.ask(WORDS)
    return model


def resized(side):
    """A pipeline that resizes the image, so that the model does not."""
    return [PIPELINE[0], {"type": "Resize", "scale": (side, side)}, *PIPELINE[1:]]


def batch(data, indices):
    samples = [data[i] for i in indices]
    return [s["inputs"] for s in samples], [s["data_samples"] for s in samples]


def test_a_batch_is_its_images_and_the_segmentor_itself(model):
    data = ScenesDataset(length=3, size=96)
    together = model(*batch(data, [0, 1, 2]))
    for index, sample in enumerate(together):
        (alone,) = model(*batch(data, [index]))
        assert torch.equal(alone.pred_sem_seg.data, sample.pred_sem_seg.data)
    encoded = model.segmentor.encode([data.image(0)])
    labels, _ = model.segmentor.label(encoded[0], model.segmentor.embed(WORDS))
    assert torch.equal(labels[None], together[0].pred_sem_seg.data)


def test_labels_have_the_original_size(model):
    data = ScenesDataset(length=1, size=96, pipeline=resized(64))
    assert tuple(model(*batch(data, [0]))[0].pred_sem_seg.data.shape) == (1, 96, 96)


def test_mirrored_images_give_mirrored_labels(model):
    inputs, samples = batch(ScenesDataset(length=1, size=96), [0])
    model.flip = True
    labels = model(inputs, samples)[0].pred_sem_seg.data.clone()
    mirrored = model([inputs[0].flip(-1)], samples)[0].pred_sem_seg.data
    model.flip = False
    assert (labels == mirrored.flip(-1)).float().mean() > 0.999
    assert len(labels.unique()) > 1


def test_failures_pass_through(model):
    data = ScenesDataset(length=2, size=96)
    inputs, samples = batch(data, [0, 1])
    samples[0].set_metainfo({"failure": "it is empty"})
    first, second = model([torch.zeros(3, 0, 0, dtype=torch.uint8), inputs[1]], samples)
    assert "pred_sem_seg" not in first
    assert "pred_sem_seg" in second


def test_thresholds_and_mirrors():
    strict = OpenVocabularyModel("mini", weights="random:0", flip=True, background=0.9)
    strict.ask(Vocabulary.parse("background, red circle, blue star"))
    data = ScenesDataset(length=1, size=96, pipeline=resized(96))
    labels = strict(*batch(data, [0]))[0].pred_sem_seg.data[0]
    image = torch.from_numpy(data.image(0)).permute(2, 0, 1) / 255
    straight, mirrored = strict.segmentor.encode_resized([image, image.flip(-1)], [(96, 96)] * 2)
    right = strict.segmentor.scores(mirrored, strict.texts).numpy()[..., ::-1]
    mean = (strict.segmentor.scores(straight, strict.texts).numpy() + right) / 2
    assert (labels.numpy() == np.where(mean.max(0) < 0.9, 0, mean.argmax(0))).all()
    assert 0 in labels


def test_a_background_that_the_data_set_lacks():
    other = OpenVocabularyModel("mini", weights="random:0", background="literal")
    with pytest.raises(UsageError, match="adds a class that custom does not have"):
        other.ask(WORDS)
    other.ask(Vocabulary.parse("background, cat"))


def test_classes_must_be_told():
    with pytest.raises(UsageError, match="call ask"):
        OpenVocabularyModel("mini", weights="random:0")(*batch(ScenesDataset(length=1), [0]))


def labels_of(model, data):
    (sample,) = model.test_step({"inputs": [data["inputs"]], "data_samples": [data["data_samples"].clone()]})
    return sample.pred_sem_seg.data


@pytest.mark.parametrize(
    "preprocessor",
    [
        {"bgr_to_rgb": True, "mean": [122.77, 116.75, 104.09], "std": [68.5, 66.63, 70.32]},
        {"mean": [104.0, 117.0, 123.0], "std": [1.0, 1.0, 1.0], "test_cfg": {"size_divisor": 64}},
    ],
)
def test_no_data_preprocessor_changes_a_label(model, preprocessor):
    """The images of mmsegmentation's own reader are BGR; they once were taken for RGB."""
    data = ScenesDataset(length=1, size=96)[0]
    other = OpenVocabularyModel(
        "mini", weights="random:0", templates="none", data_preprocessor={"type": "SegDataPreProcessor", **preprocessor}
    )
    other.ask(WORDS)
    model.ask(WORDS)
    labels = labels_of(model, data)
    assert torch.equal(labels_of(other, data), labels)
    assert tuple(labels.shape) == (1, 96, 96)
    wrong = {"inputs": data["inputs"].flip(0), "data_samples": data["data_samples"]}
    assert not torch.equal(labels_of(model, wrong), labels)


def test_the_classes_of_a_config_stay():
    named = OpenVocabularyModel("mini", weights="random:0", vocabulary=["grass", ["brick", "bricks"]])
    assert named.dataset_meta["classes"] == ("grass", "brick")
    assert len(named.dataset_meta["palette"]) == 2
    named.dataset_meta = {"classes": ["grass", "brick"], "palette": [[0, 0, 0], [1, 1, 1]]}
    with pytest.warns(UserWarning, match=r"keeps the classes of its vocabulary 'custom'.*\(road, sidewalk"):
        named.dataset_meta = {"classes": ["road", "sidewalk", "sky"], "palette": None}
    assert named.dataset_meta["classes"] == ("grass", "brick")
    assert OpenVocabularyModel("mini", weights="random:0", vocabulary="ade20k").out_channels == 150


def test_classes_that_are_assigned_are_asked(model):
    model.dataset_meta = {"classes": ["red", "blue"], "palette": [[9, 8, 7], [1, 2, 3]]}
    assert model.dataset_meta == {"classes": ("red", "blue"), "palette": [[9, 8, 7], [1, 2, 3]]}
    assert labels_of(model, ScenesDataset(length=1, size=96)[0]).max() <= 1
    model.ask(WORDS)


def test_every_mode(model):
    data = ScenesDataset(length=2, size=96)
    inputs, samples = batch(data, [0, 1])
    scores = model(inputs, samples, mode="tensor")
    assert [tuple(one.shape) for one in scores] == [(3, 96, 96)] * 2
    assert torch.allclose(scores[0].sum(0), torch.ones(96, 96), atol=1e-5)
    for first, second in zip(scores, model.encode_decode(inputs, samples), strict=True):
        assert torch.equal(first, second)
    assert torch.equal(model.predict(inputs)[0].pred_sem_seg.data[0], scores[0].argmax(0))
    assert [one.size for one in model.extract_feat(inputs)] == [(96, 96)] * 2
    with pytest.raises(UsageError, match="not trained by mmsegmentation"):
        model.loss(inputs, samples)
    with pytest.raises(UsageError, match="got mode 'loss'"):
        model(inputs, samples, mode="loss")


def test_logits_and_flipped_samples():
    giving = OpenVocabularyModel("mini", weights="random:0", templates="none", seg_logits=True, background=0.9)
    giving.ask(Vocabulary.parse("background, red circle, blue star"))
    data = ScenesDataset(length=1, size=96)
    inputs, samples = batch(data, [0])
    (straight,) = giving(inputs, samples)
    assert torch.equal(straight.seg_logits.data.argmax(0), straight.pred_sem_seg.data[0])
    inputs, samples = batch(data, [0])
    samples[0].set_metainfo({"flip": True, "flip_direction": "horizontal"})
    (mirrored,) = giving([inputs[0].flip(-1)], samples)
    assert (mirrored.pred_sem_seg.data == straight.pred_sem_seg.data).float().mean() > 0.9
    assert 0 in straight.pred_sem_seg.data


def test_windows_as_mmsegmentation_writes_them():
    def windows(test_cfg):
        segmentor = OpenVocabularyModel("mini", weights="random:0", test_cfg=test_cfg).segmentor
        return segmentor.window, segmentor.stride

    assert windows({"mode": "slide", "crop_size": (96, 96), "stride": (48, 48)}) == (96, 48)
    assert windows({"mode": "whole"})[0] is None
    assert windows({}) == windows(None)
    for wrong in ({"mode": "slide"}, {"mode": "slide", "crop_size": (96, 64), "stride": (48, 48)}, {"mod": "whole"}):
        with pytest.raises(UsageError, match="with square windows; got"):
            windows(wrong)


@pytest.mark.parametrize("name", ["pretrained", "train_cfg", "init_cfg"])
def test_arguments_that_cannot_be_honoured(name):
    with pytest.raises(UsageError, match=f"takes no {name}=.*weights=FILE"):
        OpenVocabularyModel(
            "mini", weights="random:0", **{name: "x.pth" if name == "pretrained" else {"checkpoint": "x.pth"}}
        )


def test_a_sample_without_its_size(model):
    inputs, samples = batch(ScenesDataset(length=1, size=96), [0])
    samples[0].pop("ori_shape")
    with pytest.raises(UsageError, match=r"no ori_shape.*meta_keys of PackSegInputs"):
        model(inputs, samples)


def test_a_checkpoint_of_another_model_is_refused(model, tmp_path):
    torch.save({"state_dict": model.state_dict()}, tmp_path / "own.pth")
    torch.save({"state_dict": model.segmentor.encoder.model.state_dict()}, tmp_path / "clip.pth")
    other = OpenVocabularyModel("mini", weights="random:1")
    load_checkpoint(other, str(tmp_path / "own.pth"), map_location="cpu")
    assert all(
        torch.equal(*pair) for pair in zip(other.state_dict().values(), model.state_dict().values(), strict=True)
    )
    with pytest.raises(UsageError, match=r"not one of this model.*model\.weights=FILE"):
        load_checkpoint(other, str(tmp_path / "clip.pth"), map_location="cpu")


def test_weights_by_path_keep_the_architecture(tmp_path):
    first = load("mini-maskclip", weights="random:3").segmentor
    torch.save(first.encoder.model.state_dict(), tmp_path / "mini.pt")
    second = load("mini-maskclip", weights=str(tmp_path / "mini.pt"), dtype="bfloat16", short_side=64).segmentor
    assert second.short_side == 64
    assert next(second.parameters()).dtype == torch.bfloat16
    expected = first.encoder.model.visual.proj
    assert torch.equal(second.encoder.model.visual.proj, expected.bfloat16())
    with pytest.raises(WeightsError):
        _ = load("mini-maskclip", weights=str(tmp_path / "none.pt")).segmentor


def test_random_weights_are_seeded_and_say_so():
    first, again, other = (load("mini-maskclip", weights=f"random:{seed}").segmentor for seed in (0, 0, 1))
    assert torch.equal(first.encoder.model.visual.proj, again.encoder.model.visual.proj)
    assert not torch.equal(first.encoder.model.visual.proj, other.encoder.model.visual.proj)
    assert "random" in first.encoder.model_id
    with pytest.raises(UsageError, match="random:SEED"):
        _ = load("mini-maskclip", weights="random:x").segmentor


def test_what_cannot_be_built():
    with pytest.raises(UsageError, match="model 'nope' is unknown"):
        _ = load("nope").segmentor
    with pytest.raises(UsageError, match="shortside"):
        _ = load("mini-maskclip", weights="random:0", shortside=3).segmentor


def test_names_that_a_model_does_not_know_are_listed_and_never_found():
    photo = OpenVocabularyModel("photo", background="literal", short_side=32)
    names = ["background", "cat", "giraffe", ["couch", "xyzzy"]]
    photo.ask(Vocabulary.from_classes(names))
    assert photo.protocol["names"] == "knows 2 of 3, not giraffe"
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 64, 64), np.uint8))
    scores = photo.forward([image], mode="tensor")[0]
    assert (scores[2] == 0).all()
    assert torch.allclose(scores.sum(0), torch.ones(64, 64), atol=1e-4)
    matrix = torch.tensor([[8, 0, 0, 0], [0, 4, 0, 0], [2, 0, 0, 0], [0, 0, 0, 2]])
    found = photo.grouped(scores_of(matrix, ["background", "cat", "giraffe", "couch"]))
    assert found.group_iou()["the names that it knows"] == pytest.approx((80 + 100 + 100) / 3)
    assert found.mean_iou == pytest.approx((80 + 100 + 0 + 100) / 4)
    others = OpenVocabularyModel("photo", short_side=32)
    others.ask(Vocabulary.from_classes(["cat", "dog"]))
    assert (others.protocol["background"], others.out_channels) == ("none", 2)
    with pytest.raises(UsageError, match="2 of 2 words are not known"):
        photo.ask(Vocabulary.from_classes(["giraffe", "xyzzy"]))
