"""The statistics that the mini models ship with: they are those of the recipe."""

import torch

from densevl.classifiers.familiarity import Familiarity
from densevl.dense.encoder import DenseEncoder
from densevl.training.known_scenes import FITTED, HELD_OUT, halved, known_scene, known_scenes, scene_summaries
from densevl.weights.opened import open_weights


def test_the_shipped_file_is_what_the_recipe_makes():
    """Its held-out scores are those of the recipe's scenes; all of them would take minutes."""
    opened = open_weights("mini-known")
    shipped = Familiarity.of_state(opened.state, opened.metadata, opened.path)
    encoder = DenseEncoder({"type": "clip", "weights": "mini-clip"})
    assert shipped.model_id == encoder.encoder.model_id
    assert shipped.what == "drawn scenes"
    assert len(shipped.scores) == HELD_OUT[2]
    assert opened.path.stat().st_size < 40_000
    scores = shipped.score(scene_summaries(encoder, *HELD_OUT[:2], 6))
    nearest = (shipped.scores[:, None] - scores).abs().amin(0)
    assert bool((nearest < 1e-3 * scores).all()), "each is one of the file's"


def test_what_is_made_is_rounded_before_it_is_scored():
    draw = torch.Generator().manual_seed(0)
    known = known_scenes(torch.randn(80, 5, generator=draw), torch.randn(30, 5, generator=draw), "m@1")
    assert torch.equal(known.mean, halved(known.mean))
    assert torch.equal(known.directions, halved(known.directions))
    assert len(known.scores) == 30


def test_scenes_of_the_recipe_have_many_sizes():
    sizes = {known_scene(*FITTED[:2], index).shape[:2] for index in (0, 2, 14, 21)}
    assert sizes == {(128, 128), (192, 192), (128, 171), (171, 128)}
