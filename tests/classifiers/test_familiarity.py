"""What tells images of a known kind from others: distances, p-values and files."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from densevl.classifiers.familiarity import FEWEST, LEVEL, RANK, TENSORS, Familiarity
from densevl.core.errors import UsageError, WeightsError
from densevl.weights.opened import OpenedWeights

WIDTH = 12


def drawn(count, seed, shift=0.0):
    """Vectors of one Gaussian with a few directions of large variance."""
    draw = torch.Generator().manual_seed(seed)
    scales = torch.linspace(3, 0.2, WIDTH)
    return torch.randn(count, WIDTH, generator=draw) * scales + shift


@pytest.fixture(scope="module")
def known():
    return Familiarity.fit(drawn(400, 0), "m@1", "toys", drawn(999, 1))


def test_the_score_is_the_mahalanobis_distance_of_the_stated_covariance(known):
    """The oracle inverts the whole covariance: the kept variances, and one for all other directions."""
    directions, variances = known.directions.double(), known.variances.double()
    beside = torch.eye(WIDTH, dtype=torch.float64) - directions.T @ directions
    covariance = directions.T @ torch.diag(variances) @ directions + beside * known.rest
    offset = drawn(50, 2).double() - known.mean
    oracle = (offset @ covariance.inverse() * offset).sum(1)
    torch.testing.assert_close(known.score(drawn(50, 2)), oracle, rtol=1e-4, atol=1e-4)
    assert len(variances) == min(RANK, WIDTH - 1)
    samples = drawn(400, 0).double()
    torch.testing.assert_close(covariance, samples.T.cov(), rtol=0.05, atol=0.05)


def test_p_values_of_the_known_kind_are_uniform_and_others_are_small(known):
    """A limit on p-values is the rate of false alarms; four standard deviations of a binomial are let pass."""
    p = torch.tensor(known.p_values(drawn(2000, 3)))
    for limit in (0.01, 0.05, 0.1, 0.5):
        spread = 4 * (limit * (1 - limit) * (1 / 2000 + 1 / 999)) ** 0.5
        assert abs(float((p <= limit).float().mean()) - limit) < spread, limit
    assert known.level == LEVEL == pytest.approx(1 / 1000)
    assert set(known.p_values(drawn(50, 4, shift=9.0))) == {1 / 1000}
    assert known.p_values(drawn(1, 4) * torch.nan) == [1 / 1000]
    assert known.p_values(known.mean[None]) == [1.0]


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 30), st.integers(0, 99))
def test_each_p_value_is_that_of_the_image_alone(known, count, seed):
    values = drawn(count, seed)
    assert known.p_values(values) == [known.p_values(value[None])[0] for value in values]


@settings(deadline=None, max_examples=25)
@given(st.integers(FEWEST, 60), st.integers(0, 20))
def test_a_fit_of_few_images_is_careful(count, seed):
    """Without held-out images each fifth is scored by the others; no image of the fit counts as the least familiar."""
    own = drawn(count, seed)
    known = Familiarity.fit(own, "m@1", "toys")
    assert len(known.scores) == count
    assert known.level == 1 / (count + 1)
    assert bool((known.scores.diff() >= 0).all())
    assert set(known.p_values(own + 50)) == {known.level}


@pytest.mark.parametrize("count", [FEWEST, 30, 60])
def test_few_images_of_the_kind_are_refused(count):
    """One fit may be unlucky; over several, images of the kind are refused at a rate near the level."""
    fits = [Familiarity.fit(drawn(count, seed), "m@1", "toys") for seed in range(20)]
    refused = [
        sum(p <= known.level for p in known.p_values(drawn(200, seed + 1000))) for seed, known in enumerate(fits)
    ]
    assert sum(refused) / (200 * len(fits)) < 3 / (count + 1)


def test_images_that_are_all_alike_are_a_kind_too():
    known = Familiarity.fit(torch.ones(30, WIDTH), "m@1", "one picture")
    assert known.p_values(torch.ones(1, WIDTH)) == [1.0]
    assert known.p_values(torch.zeros(1, WIDTH)) == [1 / 31]


def test_a_file_holds_everything(known, tmp_path):
    file = tmp_path / "known.safetensors"
    for one in (known, replace(known, mean=known.mean.half().float(), directions=known.directions.half().float())):
        one.save(file)
        opened = OpenedWeights(file, None)
        again = Familiarity.of_state(opened.state, opened.metadata, file)
        assert (again.model_id, again.what, again.digest) == ("m@1", "toys", one.digest)
        assert all(torch.equal(getattr(again, name), getattr(one, name)) for name in TENSORS)


@pytest.mark.parametrize(
    "damage",
    [
        lambda state: state.pop("rest"),
        lambda state: state.update(rest=-state["rest"]),
        lambda state: state.update(variances=state["variances"][:2]),
        lambda state: state.update(directions=state["directions"][:, :3]),
        lambda state: state["mean"].fill_(torch.nan),
        lambda state: state.update(scores=state["scores"].flip(0)),
        lambda state: state.update(scores=state["scores"][:0]),
        lambda state: state.update(mean=state["mean"][None]),
    ],
)
def test_damaged_statistics_are_one_clear_error(known, tmp_path, damage):
    known.save(tmp_path / "known.safetensors")
    opened = OpenedWeights(tmp_path / "known.safetensors", None)
    state = {name: value.clone() for name, value in opened.state.items()}
    damage(state)
    with pytest.raises(WeightsError, match=r"known\.safetensors (is damaged|does not hold)"):
        Familiarity.of_state(state, opened.metadata, opened.path)


def test_other_files_and_a_flipped_byte(known, tmp_path):
    known.save(tmp_path / "known.safetensors")
    content = bytearray((tmp_path / "known.safetensors").read_bytes())
    with pytest.raises(WeightsError, match="does not hold what a model knows"):
        Familiarity.of_state({"mean": torch.zeros(3)}, {}, "other.safetensors")
    refused = 0
    for place in range(0, 400, 7):
        flipped = bytearray(content)
        flipped[place] ^= 0x21
        (tmp_path / "flipped.safetensors").write_bytes(flipped)
        opened = OpenedWeights(tmp_path / "flipped.safetensors", None)
        try:
            Familiarity.of_state(opened.state, opened.metadata, opened.path)
        except WeightsError:
            refused += 1
    assert refused > 40, "a byte of a text may be another one, and nothing else"


def test_what_cannot_be_used_is_named(known):
    with pytest.raises(UsageError, match="at least 20 images of the kind that is known; got 19"):
        Familiarity.fit(drawn(19, 0), "m@1", "toys")
    with pytest.raises(UsageError, match="not finite"):
        Familiarity.fit(drawn(30, 0) / 0, "m@1", "toys")
    with pytest.raises(UsageError, match="features of 'm@1', and this encoder is 'm@2'"):
        known.check("m@2")
