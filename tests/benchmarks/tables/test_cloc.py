"""CLOC's ablation: its scenes, its trainings, its figures."""

import pytest
import torch
from torch.nn.functional import one_hot

from densevl.benchmarks.tables import measure
from densevl.benchmarks.tables.cloc import COLUMNS, READERS, UNTRAINED, HeldOut, cloc_table, figures_of
from densevl.core.errors import UsageError
from densevl.datasets.scenes.training import SceneRegionTexts
from densevl.encoders.loading import build_clip
from densevl.training.cloc.encoded_scenes import EncodedScenes
from densevl.training.cloc.readers import KINDS, Reader, make_reader, train_reader


@pytest.fixture(scope="module")
def encoder():
    return build_clip("mini-clip", text_cache=False).eval()


@pytest.fixture(scope="module")
def scenes(encoder) -> EncodedScenes:
    return EncodedScenes.of(SceneRegionTexts(8, 64, count=(0, 3), seed=2, masks=True, side=96), encoder)


def test_scenes_are_encoded_as_they_are_one_by_one(encoder, scenes):
    dataset = SceneRegionTexts(8, 64, count=(0, 3), seed=2, masks=True, side=96)
    described = [sample for sample in map(dataset.__getitem__, range(8)) if sample["texts"]]
    assert len(scenes) == len(described) < 8
    for place, sample in enumerate(described):
        grid = encoder.tokens(sample["images"][None].float() / 255)[0]
        torch.testing.assert_close(scenes.tokens[place].float().movedim(-1, 0), grid, rtol=1e-2, atol=2e-2)
        torch.testing.assert_close(scenes.vectors[scenes.texts[place]], encoder.embed_texts(sample["texts"]))
        cells = sample["masks"].float().unflatten(2, (12, 8)).unflatten(1, (12, 8)).sum((2, 4))
        torch.testing.assert_close(scenes.coverage[place], cells)


@pytest.mark.parametrize("kind", KINDS)
def test_every_reader_learns_and_is_the_same_again(encoder, scenes, kind):
    reader = Reader("any", kind, grounding=1.0 if kind == "prompter" else 0.0)
    trained = []
    for _ in range(2):
        module = make_reader(kind, encoder, 0)
        before = {name: value.clone() for name, value in module.state_dict().items()}
        train_reader(module, reader, scenes, 2, 0)
        assert not torch.equal(before["project.weight"], module.state_dict()["project.weight"])
        trained.append(module.state_dict())
    assert all(torch.equal(value, trained[1][name]) for name, value in trained[0].items())


def test_perfect_vectors_have_perfect_figures():
    held_out = HeldOut.of(12)
    count = len(held_out.truths)
    assert [len(boxes) for boxes in held_out.boxes["noisy"]] == [len(boxes) for boxes in held_out.boxes["true"]]
    name, text = one_hot(held_out.names, 64).float(), one_hot(held_out.truths, len(held_out.texts)).float()
    vectors = torch.cat([name, text], dim=1)
    names = torch.cat([torch.eye(64), torch.zeros(64, len(held_out.texts))], dim=1)
    texts = torch.cat([torch.zeros(len(held_out.texts), 64), torch.eye(len(held_out.texts))], dim=1)
    assert figures_of(vectors, held_out, names, texts) == (100.0,) * len(COLUMNS)
    turned = figures_of(vectors[torch.arange(count) - 1], held_out, names, texts)
    assert max(turned[0], turned[1], turned[4]) < 50


@pytest.mark.slow
def test_the_table_runs():
    table = cloc_table(6, steps=1, seeds=(0,))
    names = [UNTRAINED, *(reader.name for reader in READERS), "MaskCLIP features, untrained", "crop, untrained"]
    assert [name for name, _ in table.rows] == [f"{kind} boxes: {name}" for kind in ("true", "noisy") for name in names]
    assert str(table).count("\n") == len(table.rows) + 3


def test_steps_belong_to_tables_that_train():
    for name, steps in (("dinoiser", 5), ("cloc", 0)):
        with pytest.raises(UsageError, match="steps"):
            measure(name, 5, steps)
