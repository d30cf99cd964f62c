"""Runs of tuning: what they learn, that they can be killed and resumed, and how they stop."""

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import DefaultScope
from toys.tuning import tuned_colours

from densevl.core.errors import UsageError
from densevl.training.checkpoints import latest_checkpoint, read_checkpoint
from densevl.training.tuning import run
from densevl.training.tuning.run import run_tuning


class Killed(Hook):
    """Ends a run in the middle, as Ctrl-C does."""

    def __init__(self, step):
        self.step = step

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == self.step:
            raise KeyboardInterrupt


def numbers(model):
    return torch.cat([value.detach().flatten() for value in model.state_dict().values()])


def accuracy(model):
    with torch.no_grad():
        step = model.step(range(6), [None] * 6)
    return float((step.logits.argmax(1) == step.labels).float().mean())


def test_tuning_learns_to_tell_the_classes_apart_and_leaves_the_chance_of_the_program(tuned):
    model = tuned()
    before, state = numbers(model).clone(), torch.get_rng_state()
    run_tuning(model, 40)
    assert accuracy(model) == 1
    assert not torch.equal(numbers(model), before)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_killed_and_resumed_run_ends_as_one_that_was_not(tuned, tmp_path, monkeypatch):
    straight = tuned()
    run_tuning(straight, 10, work_dir=tmp_path / "straight")
    killed = tuned()
    with monkeypatch.context() as patch:
        patch.setattr(run, "Progress", lambda steps: Killed(7))
        with pytest.raises(KeyboardInterrupt):
            run_tuning(killed, 10, work_dir=tmp_path / "killed")
    resumed = tuned()
    torch.manual_seed(99)
    run_tuning(resumed, 10, work_dir=tmp_path / "killed", resume=True)
    assert torch.equal(numbers(resumed), numbers(straight))


def test_checkpoints_hold_what_is_tuned_and_not_the_encoder(tuned, tmp_path):
    model = tuned()
    run_tuning(model, 2, work_dir=tmp_path)
    held = read_checkpoint(latest_checkpoint(tmp_path))["state_dict"]
    assert sum(value.numel() for value in held.values()) == sum(one.numel() for one in model.tunables.parameters())


def test_a_diverging_run_stops_with_the_last_good_checkpoint_kept(tuned, tmp_path):
    model = tuned(optimizer={"type": "SGD", "lr": 1e200})
    with pytest.raises(UsageError, match=r"loss_0_cross-entropy is .* tuning diverged; take a smaller") as raised:
        run_tuning(model, 10, work_dir=tmp_path)
    kept = latest_checkpoint(tmp_path)
    assert str(kept) in str(raised.value)
    assert all(value.isfinite().all() for value in read_checkpoint(kept)["state_dict"].values())


def test_autocast_computes_in_bfloat16_and_keeps_the_numbers_in_full(tuned):
    model, plain = tuned(), tuned()
    run_tuning(model, 2, amp=True)
    run_tuning(plain, 2)
    assert numbers(model).dtype == torch.float64
    assert not torch.equal(numbers(model), numbers(plain))


def test_the_scope_of_other_registries_stays(tmp_path):
    before = DefaultScope.get_current_instance()
    model = tuned_colours(tmp_path, steps=1)
    run_tuning(model, 1)
    assert DefaultScope.get_current_instance() is before
