"""CLIP-DINOiser against the outputs of its published code: features, affinities, background, windows."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from toys.dense import dense

from densevl.core.features import TextEmbeddings
from densevl.core.vocabulary import Vocabulary
from densevl.dense.refiners.dinoiser import DinoiserRefiner
from densevl.dense.refiners.dinoiser_weights import build_dinoiser
from densevl.tasks.segmentation.segmentor import Segmentor


class Reference:
    """One file of reference outputs, and our segmentor on the same weights and image."""

    def __init__(self, golden, rules, encoder, name, folder):
        self.outputs = np.load(golden / f"dinoiser_{name}.npz")
        biases = {key: self.outputs[key] for key in ("obj_proj.bias", "bkg_decoder.bias")}
        shapes = {"obj_proj.weight": (256, 768, 3, 3), "bkg_decoder.weight": (1, 768, 1, 1)}
        weights = {key: rules.rule_weight(key, shape) for key, shape in shapes.items()}
        state = {key: torch.from_numpy(value) for key, value in {**weights, **biases}.items()}
        torch.save({"epoch": 99, "model_state_dict": state}, folder / "last.pt")  # the published layout
        self.refiner: DinoiserRefiner = build_dinoiser(folder / "last.pt")
        window = 448 if name == "slide" else None
        self.segmentor = Segmentor(encoder, refiners=[self.refiner], short_side=None, window=window, stride=224)
        pixels = rules.rule_image(str(self.outputs["image"][0]), *self.outputs["size"])
        self.image = torch.from_numpy(pixels).permute(2, 0, 1) / 255
        self.vectors = torch.from_numpy(self.outputs["text"])

    @property
    def size(self):
        """Of the label map."""
        return tuple(map(int, self.outputs["original_size" if "original_size" in self.outputs else "size"]))

    def encode(self):
        return self.segmentor.encode_resized([self.image], [self.size])[0]

    def texts(self, delta=None, order=None, model_id=None):
        """The texts of the reference in an order of classes; class 0 of the reference is the background."""
        order = list(range(len(self.vectors))) if order is None else order
        classes = tuple((f"class {i}",) for i in order)
        vocabulary = Vocabulary("reference", classes, background=order.index(0))
        return TextEmbeddings(
            self.vectors[order],
            torch.arange(len(order)),
            vocabulary,
            self.segmentor.encoder.model_id,
            "none",
            delta=delta,
        )

    def tapped(self):
        return dense(
            self.segmentor.encoder, self.image[None], self.segmentor.readout, maps=self.refiner.needs.maps
        ).maps[self.refiner.layer]


@pytest.fixture
def reference(request, golden, rules, rule_encoder, tmp_path):
    return Reference(golden, rules, rule_encoder, request.param, tmp_path)


def assert_close(found, expected):
    """Within 1e-3 of the largest value, which is what the reference asks for."""
    expected = torch.from_numpy(expected)
    assert found.shape == expected.shape
    assert (found - expected).abs().max() < 1e-3 * expected.abs().max()


@pytest.mark.parametrize("reference", ["square", "wide", "background"], indirect=True)
def test_heads_and_probabilities(reference):
    outputs = reference.outputs
    delta = 0.99 if outputs["with_background"] else None
    tapped, encoded = reference.tapped(), reference.encode()
    row = reference.refiner.affinity(tapped)[0, 0]
    assert_close(row.unflatten(0, outputs["affinity_row0"].shape), outputs["affinity_row0"])
    assert_close(encoded.features.foreground[0], outputs["background_logit"])
    found = reference.segmentor.probabilities(encoded, reference.texts(delta))[0]
    assert_close(found, outputs["probability"])
    same = found.argmax(0) == torch.from_numpy(outputs["probability"]).argmax(0)
    assert same.double().mean() >= 0.999


@pytest.mark.parametrize("reference", ["background"], indirect=True)
def test_the_background_may_be_any_class(reference):
    order = [5, 3, 0, 7, 1, 2, 4, 6]
    probabilities = reference.segmentor.probabilities(reference.encode(), reference.texts(0.99, order))[0]
    expected = reference.outputs["probability"][order]
    assert_close(probabilities, expected)
    marked = expected[2] == 1
    assert 0 < marked.sum() < marked.size


@pytest.mark.parametrize("reference", ["slide"], indirect=True)
def test_windows(reference):
    outputs = reference.outputs
    texts = reference.texts()
    encoded = reference.encode()
    labels, _ = reference.segmentor.label(encoded, texts)
    assert (labels.numpy() == outputs["labels"]).mean() >= 0.999
    merged = reference.segmentor.scores(replace(encoded, size=encoded.plan.size), texts)
    assert_close(merged[:, ::16, ::16], outputs["probability_sub"])


@pytest.mark.slow
@pytest.mark.parametrize("reference", ["slide", "background"], indirect=True)
def test_labels_in_bfloat16(reference):
    texts = reference.texts(0.99 if reference.outputs["with_background"] else None)
    labels = []
    for dtype in (torch.float32, torch.bfloat16):
        segmentor = deepcopy(reference.segmentor).to(dtype)
        labels.append(segmentor.label(segmentor.encode_resized([reference.image], [reference.size])[0], texts)[0])
    assert (labels[0] == labels[1]).double().mean() >= 0.99
