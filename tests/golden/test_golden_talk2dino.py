"""Talk2DINO against the outputs of its published code: texts in the space of patches, probabilities, cleaning."""

import hashlib
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from toys.dense_golden import assert_close, outputs, rules, tokens

from densevl.core.features import DenseFeatures, TextEmbeddings
from densevl.core.vocabulary import Vocabulary
from densevl.dense.stages.talk2dino import HeadCleaning, raised_by_heads
from densevl.encoders.texts.talk2dino import Translation
from densevl.weights import is_cached, weights_entry
from densevl.weights.layouts import layout
from densevl.weights.opened import open_weights


def translated(state, case):
    """Texts of CLIP through the two layers of a file."""
    joint, dim = case["clip_text"].shape[1], state["linear_layer.weight"].shape[0]
    made = Translation(joint, joint, dim)
    ours = {
        name.removeprefix("text.text_projection."): value for name, value in layout("talk2dino").read(state, {}).items()
    }
    made.load_state_dict({**ours, "joint": torch.eye(joint)})
    with torch.no_grad():
        return made(torch.from_numpy(case["clip_text"]))


def test_texts_by_rule():
    case = outputs("talk2dino")
    joint, dim = case["clip_text"].shape[1], case["text"].shape[1]
    shapes = {
        "linear_layer.weight": (dim, joint),
        "linear_layer.bias": (dim,),
        "hidden_layers.0.weight": (dim, dim),
        "hidden_layers.0.bias": (dim,),
    }
    state = {name: torch.from_numpy(rules().rule_weight(f"talk.{name}", shape)) for name, shape in shapes.items()}
    assert_close(translated(state, case)[:, ::4], case["projected_rule"])


def test_texts_by_the_published_weights():
    entry = weights_entry("talk2dino-vit-b14")
    if not is_cached(entry):
        pytest.skip("the published weights are not here; `densevl fetch talk2dino-vit-b14` brings them")
    opened = open_weights("talk2dino-vit-b14", offline=True)
    assert hashlib.sha256(Path(opened.path).read_bytes()).hexdigest().startswith("5f6efcc5")
    assert_close(translated(opened.state, outputs("talk2dino"))[:, ::4], outputs("talk2dino")["projected_published"])


def kind_of(case):
    """The set of the file: its patches are by a rule whose name tells it."""
    text = torch.from_numpy(case["text"])
    for kind in ("open", "hidden"):
        patches = tokens(f"dense-{kind}-talk.dino", tuple(case["grid"].tolist()), text.shape[1])
        mask = torch.einsum("kd,dhw->khw", text, F.normalize(patches, dim=0)).sigmoid()
        if torch.allclose(mask, torch.from_numpy(case["mask"]), atol=1e-4):
            return kind, patches
    raise AssertionError("the probabilities are those of no patches by rule")


def test_cleaning():
    case = outputs("talk2dino")
    kind, patches = kind_of(case)
    rows, columns = case["grid"].tolist()
    scores = torch.from_numpy(rules()._normal(f"dense-{kind}-talk.attention", (1, 12, rows * columns)))
    attention, mask = scores.unflatten(2, (rows, columns)), torch.from_numpy(case["mask"])[None]
    text = torch.from_numpy(case["text"])
    found = raised_by_heads(mask, patches[None], attention, text, case["lambda_bg"])
    assert_close(found[0], case["cleaned"])
    names = tuple((f"class {index}",) for index in range(len(text)))
    texts = TextEmbeddings(text, torch.arange(len(text)), Vocabulary("reference", names), "reference", "none")
    features = DenseFeatures(patches[None], 14, "reference", attention=attention)
    assert_close(HeadCleaning(case["lambda_bg"])(mask, features, texts)[0], case["cleaned"])
