import numpy as np
import pytest
import torch

from densevl.api.loading import load
from densevl.benchmarks.segmentation.datasets import ScenesDataset
from densevl.benchmarks.segmentation.model import OpenVocabularyModel
from densevl.core.errors import UsageError, WeightsError
from densevl.core.vocabulary import Vocabulary

WORDS = Vocabulary.parse("red circle, blue star|azure star, grass")


@pytest.fixture(scope="module")
def model() -> OpenVocabularyModel:
    model = OpenVocabularyModel("mini", weights="random:0", templates="none")
    model.ask(WORDS)
    return model


def batch(data, indices):
    samples = [data[i] for i in indices]
    return [s["inputs"] for s in samples], [s["data_samples"] for s in samples]


def test_a_batch_is_its_images_and_the_segmentor_itself(model):
    data = ScenesDataset(length=3, size=96)
    together = model(*batch(data, [0, 1, 2]))
    for index, sample in enumerate(together):
        (alone,) = model(*batch(data, [index]))
        assert torch.equal(alone.pred_sem_seg.data, sample.pred_sem_seg.data)
    encoded = model.segmentor.encode_resized([torch.from_numpy(data.image(0)).permute(2, 0, 1) / 255], [(96, 96)])
    labels, _ = model.segmentor.label(encoded[0], model.segmentor.embed(WORDS))
    assert torch.equal(labels[None], together[0].pred_sem_seg.data)


def test_labels_have_the_original_size(model):
    data = ScenesDataset(length=1, size=96, short_side=64)
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
    data = ScenesDataset(length=1, size=96)
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
