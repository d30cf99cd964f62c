"""The dense heads: their entries, and that each is a model which labels images."""

import json

import numpy as np
import pytest

from densevl.api.heads import BASELINE, BENCHMARKS, head_entry, heads
from densevl.api.loading import load
from densevl.api.models import model_entry, models
from densevl.core.errors import UsageError, WeightsError, first_line
from densevl.dense.readouts import READOUTS
from densevl.weights import weights_table
from densevl.weights.table import DATA

NAMES = tuple(heads())
TEXTS = ("title", "paper", "reference", "licence", "equation", "needs", "mini", "why")
AFTER_TRAINING = "plain"
"""The readout that leaves the last block as it was trained, and so is no head."""


def place(readout):
    """Where the class of a readout's config lives, whatever its settings."""
    name = readout["type"] if isinstance(readout, dict) else readout
    row = READOUTS.rows[name]
    return row if isinstance(row, str) else row[0]


def described_readouts():
    """The places of the readouts of all heads, and of what is none."""
    return {place(model_entry(name).segmentor.get("readout", AFTER_TRAINING)) for name in NAMES} | {
        place(AFTER_TRAINING)
    }


def test_rows_have_no_other_keys_than_the_entries() -> None:
    for name, row in json.loads((DATA / "heads.json").read_text(encoding="utf-8")).items():
        wanted = {"title", "paper", "reference", "licence", "equation", "differs", "needs", "published"}
        assert wanted <= set(row) <= wanted | {"mini", "why"}, name


@pytest.mark.parametrize("name", NAMES)
def test_entries_are_complete(name: str) -> None:
    head = heads()[name]
    assert all(isinstance(getattr(head, part), str) for part in TEXTS)
    assert head.title
    assert head.paper
    assert head.needs
    assert head.equation.strip() == head.equation != ""
    assert isinstance(head.differs, tuple)
    assert all(isinstance(sentence, str) and sentence for sentence in head.differs)


@pytest.mark.parametrize("name", NAMES)
def test_published_figures_are_of_known_encoders_and_benchmarks(name: str) -> None:
    for encoder, figures in heads()[name].published.items():
        assert encoder in weights_table(), encoder
        assert set(figures) <= set(BENCHMARKS)
        assert all(0 < figure < 100 for figure in figures.values())


@pytest.mark.parametrize("name", NAMES)
def test_a_head_is_a_model_and_its_mini_model_labels_every_pixel(name: str) -> None:
    head = heads()[name]
    assert model_entry(name).segmentor
    assert bool(head.mini) != bool(head.why), "a mini model, or the reason why there is none"
    if head.mini:
        image = np.random.default_rng(0).integers(0, 255, (112, 144, 3), dtype=np.uint8)
        labels = load(head.mini, device="cpu").segment(image, "red circle, grass, brick").labels
        assert labels.shape == (112, 144)
        assert set(np.unique(labels)) <= {0, 1, 2}


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if model_entry(name).segmentor.get("type") != "sam3"])
def test_a_head_loads_with_random_weights_in_full_size(name: str) -> None:
    segmentor = model_entry(name).segmentor
    regions = {"mask_maker": "grabcut"} if "mask_maker" in segmentor or segmentor.get("type") == "regions" else {}
    if name == "radseg":  # the words of SigLIP 2 are in a file of its own, which no seed makes
        with pytest.raises(WeightsError, match=r"the tokenizer is missing: put tokenizer.json or tokenizer.model"):
            load(name, weights="random:0", device="cpu")
        return
    assert load(name, weights="random:0", device="cpu", **regions).segmentor.dense.readout.name


def test_every_readout_of_the_family_is_that_of_a_head() -> None:
    described = described_readouts()
    for name, row in READOUTS.rows.items():
        assert place(name) in described, f"readout {name}: no row of heads.json is a model that is read so ({row})"


def test_every_model_that_is_read_by_a_head_has_an_entry() -> None:
    described = described_readouts()
    for name, entry in models().items():
        if "readout" in entry.segmentor:
            assert place(entry.segmentor["readout"]) in described, name


def test_heads_by_the_names_of_their_models() -> None:
    assert head_entry("mini").name == "dinoiser"
    assert head_entry("naclip") is head_entry("mini-naclip")
    with pytest.raises(UsageError) as error:
        head_entry("naclop")
    assert first_line(error.value).startswith("head 'naclop' is unknown; did you mean naclip")


def test_gains_are_over_the_baseline_on_the_same_encoder() -> None:
    assert heads()[BASELINE].gain == 0
    published = heads()["dinoiser"].published["clip-vit-b16-laion2b"]
    base = heads()[BASELINE].published["clip-vit-b16-laion2b"]
    assert "voc21" not in base
    assert heads()["dinoiser"].gain == pytest.approx(np.mean([published[name] - base[name] for name in base]))
    assert heads()["maskclip-reduced"].gain is None
