"""Scores, banks of negative captions and calibration."""

import pytest
import torch
import torch.nn.functional as F

from densevl.core.errors import UsageError
from densevl.core.regions import RegionEmbeddings
from densevl.tasks.grounding.scoring import fit_temperature, negative_bank, part_scores, unrelated


def test_scores_are_weight_times_scale_times_cosine():
    crop, blur, texts = F.normalize(torch.randn(3, 4, 8), dim=2)
    embeddings = RegionEmbeddings.of_parts({"crop": crop, "blur": blur}, "m", {"blur": 0.5})
    parts = part_scores(embeddings, texts[:2], 20.0)
    for i in range(4):
        for q in range(2):
            assert parts["crop"][i, q] == pytest.approx(20 * float(crop[i] @ texts[q]), rel=1e-4, abs=1e-5)
            assert parts["blur"][i, q] == pytest.approx(10 * float(blur[i] @ texts[q]), rel=1e-4, abs=1e-5)
    total = torch.stack(list(parts.values())).sum(0)
    torch.testing.assert_close(total, 20 * embeddings.cosines(texts[:2]), rtol=1e-4, atol=1e-5)
    assert list(part_scores(RegionEmbeddings(crop, "m"), texts, 1.0)) == ["region"]


def test_banks_are_drawn_by_seed(tmp_path):
    bank = negative_bank("neutral")
    assert len(set(bank.captions)) == 500
    assert bank == negative_bank("neutral")
    assert bank.captions != negative_bank("neutral", seed=1).captions
    assert not any("{" in caption for caption in (*bank.captions, *negative_bank("scenes", 10_000).captions))
    (tmp_path / "mine.txt").write_text("a cat\n\na dog\na cat\n", "utf-8")
    assert negative_bank(tmp_path / "mine.txt").captions == ("a cat", "a dog")
    assert negative_bank(["a", " b "], count=1).captions in (("a",), ("b",))


@pytest.mark.parametrize(("source", "message"), [("neutrall", "neutral"), ([], "empty"), (["  "], "empty")])
def test_unusable_banks(source, message):
    with pytest.raises(UsageError, match=message):
        negative_bank(source)


def test_the_scenes_bank_speaks_of_all_scenes():
    from densevl.datasets.scenes import COLOURS, GROUNDS, SHAPES

    words = set(" ".join(negative_bank("scenes", 10_000).captions).split())
    assert {*COLOURS, *GROUNDS, *SHAPES} <= words


def test_the_temperature_is_that_of_the_draw():
    """Right regions drawn from softmax(scores / 4) are calibrated at 4; scaling the scores scales the temperature."""
    generator = torch.Generator().manual_seed(0)
    scores = 6 * torch.randn(2000, 5, generator=generator)
    targets = torch.multinomial((scores / 4).softmax(1), 1, generator=generator)[:, 0]
    fitted = fit_temperature(list(scores), targets)
    assert fitted == pytest.approx(4, rel=0.15)
    assert fit_temperature(list(2 * scores), targets) == pytest.approx(2 * fitted, rel=1e-3)
    with pytest.raises(UsageError, match="at least one"):
        fit_temperature([], targets)


def test_captions_with_a_word_of_the_text_are_related():
    assert unrelated(["a red star", "two cats in snow", "Stars"], "the Red heart in it").tolist() == [False, True, True]
