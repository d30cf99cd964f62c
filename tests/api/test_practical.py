"""The models that are named for what somebody has: a laptop, or a GPU."""

import numpy as np
import pytest

from densevl.api.heads import BENCHMARKS, USUAL, heads
from densevl.api.loading import load
from densevl.api.models import default_model, model_entry, needed_weights
from densevl.weights import weights_entry
from densevl.weights.licences import terms

PRACTICAL = ("fast", "best")


@pytest.mark.parametrize("name", PRACTICAL)
def test_it_is_a_described_head_whose_weights_are_free_for_every_use(name: str) -> None:
    entry = model_entry(name)
    assert entry.description
    assert not any(terms(weights.licence) for weights in needed_weights(name))
    assert entry.segmentor["encoder"]["weights"] == USUAL


def test_fast_is_the_strongest_of_one_encoder_alone() -> None:
    """As published for the usual encoder; heads that ask for another encoder, for training or for pixels are others."""

    def alone(name: str) -> bool:
        segmentor = model_entry(name).segmentor
        free = not any(terms(one.licence) for one in needed_weights(name))
        return free and not segmentor.get("stages") and len(model_entry(name).weights) == 1

    means = {
        name: np.mean(list(head.published[USUAL].values()))
        for name, head in heads().items()
        if len(head.published.get(USUAL, {})) == len(BENCHMARKS) and alone(name)
    }
    first = max(means, key=lambda name: means[name])
    assert {**model_entry("fast").segmentor} == model_entry(first).segmentor


def test_what_is_fetched_for_best_is_what_it_uses() -> None:
    maker = model_entry("best").segmentor["mask_maker"]
    assert maker["weights"] == weights_entry(maker["type"]).repository
    assert {"clip-vit-b16-openai", "dino-vit-b8", "sam2"} == {one.name for one in needed_weights("best")}


def test_the_default_is_what_it_was() -> None:
    assert default_model()[0] == "dinoiser"


@pytest.mark.slow
def test_fast_labels_an_image() -> None:
    image = np.random.default_rng(0).integers(0, 255, (240, 320, 3), dtype=np.uint8)
    found = load("fast", weights="random:0", device="cpu").segment(image, "cat, sofa")
    assert found.labels.shape == (240, 320)
