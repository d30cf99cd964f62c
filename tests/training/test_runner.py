import time
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from torch import nn
from torch.utils.data import Dataset

from densevl.core.errors import UsageError, WeightsError
from densevl.training.runner import ResumableIterLoop, SafeRunner
from densevl.training.train import AutocastOptimWrapper

COLLATE = {"type": "default_collate"}


class Points(Dataset):
    """Points drawn by their index, shaken by the generators of the process."""

    def __len__(self) -> int:
        return 37

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        x = torch.randn(4, generator=torch.Generator().manual_seed(index))
        return x + 0.1 * torch.rand(4) + 0.1 * float(np.random.rand()), x.sum()[None]  # noqa: NPY002


class Net(BaseModel):
    """Layers with everything that a resumed run could lose: running statistics, dropout, biases."""

    def __init__(self, width: int = 8):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, width), nn.BatchNorm1d(width), nn.Dropout(0.3), nn.Linear(width, 1))
        self.dtypes: set[torch.dtype] = set()

    def forward(self, x: torch.Tensor, y: torch.Tensor, mode: str = "tensor"):
        out = self.layers(x)
        self.dtypes.add(out.dtype)
        if mode == "predict":
            return [float(value) for value in (out - y).abs()]
        return {"loss": (out.float() - y).square().mean()}


class Stop(Hook):
    """Kills the run after an iteration, as a signal would."""

    priority = "LOWEST"

    def __init__(self, at: int):
        self.at = at

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == self.at:
            raise KeyboardInterrupt


class Error(BaseMetric):
    """The smallest metric."""

    def process(self, data_batch, data_samples):
        self.results.extend(data_samples)

    def compute_metrics(self, results):
        return {"error": float(np.mean(results))}


def runner(work_dir: Path, name: str, shuffle: bool = True, **changes) -> SafeRunner:
    torch.manual_seed(3)
    data = {"dataset": Points(), "batch_size": 5, "num_workers": 0, "collate_fn": COLLATE}
    config = {
        "model": Net(),
        "work_dir": str(work_dir),
        "train_dataloader": {**data, "sampler": {"type": "InfiniteSampler", "shuffle": shuffle}},
        "train_cfg": {"by_epoch": False, "max_iters": 20, "val_interval": 5},
        "val_dataloader": {**data, "sampler": {"type": "DefaultSampler", "shuffle": False}},
        "val_cfg": {},
        "val_evaluator": {"type": Error},
        "optim_wrapper": {"optimizer": {"type": "AdamW", "lr": 0.01}, "clip_grad": {"max_norm": 1.0}},
        "param_scheduler": [
            {"type": "LinearLR", "start_factor": 0.1, "by_epoch": False, "end": 7},
            {"type": "CosineAnnealingLR", "by_epoch": False, "begin": 7, "T_max": 13},
        ],
        "default_hooks": {
            "checkpoint": {"interval": 5, "max_keep_ckpts": 1},
            "logger": {"type": "LoggerHook", "interval": 5},
        },
        "experiment_name": f"{work_dir.parent.name}-{name}",
        "log_level": "WARNING",
        **changes,
    }
    return SafeRunner(**config)


def weights(model: nn.Module) -> torch.Tensor:
    return torch.cat([value.flatten().double() for value in model.state_dict().values()])


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("stop", [10, 13])
def test_resumed_run_ends_with_the_same_weights(tmp_path, shuffle, stop):
    straight = weights(runner(tmp_path / "straight", f"straight{shuffle}{stop}", shuffle).train())
    killed = runner(tmp_path / "killed", f"killed{shuffle}{stop}", shuffle, custom_hooks=[Stop(stop)])
    with pytest.raises(KeyboardInterrupt):
        killed.train()
    moved = (tmp_path / "killed").rename(tmp_path / "moved")
    resumed = runner(moved, f"resumed{shuffle}{stop}", shuffle, resume=True)
    torch.manual_seed(99)
    assert torch.equal(weights(resumed.train()), straight)
    assert resumed.iter == 20
    log = resumed.message_hub.get_scalar("train/loss").data[0]
    assert len(log) == 20
    assert [file.name for file in moved.glob("*.pth")] == ["iter_20.pth"]


def test_resume_needs_an_infinite_sampler_no_more_than_mmengine(tmp_path):
    loader = {"dataset": [(torch.full((4,), i / 20), torch.ones(1)) for i in range(100)], "batch_size": 5}
    loader |= {"num_workers": 0, "collate_fn": COLLATE, "sampler": {"type": "DefaultSampler", "shuffle": True}}
    straight = weights(runner(tmp_path / "a", "sampler-a", train_dataloader=loader).train())
    with pytest.raises(KeyboardInterrupt):
        runner(tmp_path / "b", "sampler-b", train_dataloader=loader, custom_hooks=[Stop(12)]).train()
    again = runner(tmp_path / "b", "sampler-c", train_dataloader=loader, resume=True)
    assert torch.equal(weights(again.train()), straight)


def test_runs_of_one_second_keep_their_own_logs(tmp_path, monkeypatch):
    for folder in ("a", "b"):
        with monkeypatch.context() as patch:
            patch.setattr(time, "time", lambda: 1.7e9)
            made = runner(tmp_path / folder, "same")
        made.train()
    assert [len(list((tmp_path / folder).glob("*/vis_data/scalars.json"))) for folder in ("a", "b")] == [1, 1]


def test_resume_by_epoch(tmp_path):
    def by_epoch(folder: str, name: str, **changes) -> SafeRunner:
        return runner(
            tmp_path / folder,
            name,
            train_dataloader={
                "dataset": Points(),
                "batch_size": 5,
                "num_workers": 0,
                "collate_fn": COLLATE,
                "sampler": {"type": "DefaultSampler", "shuffle": True},
            },
            train_cfg={"by_epoch": True, "max_epochs": 3, "val_begin": 9},
            default_hooks={"checkpoint": {"interval": 1}},
            param_scheduler=None,
            **changes,
        )

    straight = weights(by_epoch("a", "epoch-a").train())
    with pytest.raises(KeyboardInterrupt):
        by_epoch("b", "epoch-b", custom_hooks=[Stop(12)]).train()
    assert torch.equal(weights(by_epoch("b", "epoch-c", resume=True).train()), straight)


def test_killed_while_writing_keeps_the_last_good_checkpoint(tmp_path, monkeypatch):
    straight = weights(runner(tmp_path / "a", "write-a").train())
    save = torch.save
    written = []

    def dies_in_the_second(values, path):
        save(values, path)
        written.append(path)
        if len(written) == 2:
            Path(path).write_bytes(Path(path).read_bytes()[:500])
            raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", dies_in_the_second)
    with pytest.raises(KeyboardInterrupt):
        runner(tmp_path / "b", "write-b").train()
    monkeypatch.undo()
    assert [file.name for file in (tmp_path / "b").glob("*.pth")] == ["iter_5.pth"]
    assert torch.equal(weights(runner(tmp_path / "b", "write-c", resume=True).train()), straight)


def test_nothing_to_resume_starts_from_the_beginning(tmp_path):
    assert runner(tmp_path / "new", "nothing", resume=True).train().dtypes == {torch.float32}


def test_another_seed_is_refused(tmp_path):
    runner(tmp_path / "a", "seed-a").train()
    with pytest.raises(UsageError, match="seed 0; this one has 7"):
        runner(tmp_path / "a", "seed-b", resume=True, randomness={"seed": 7}).train()


def test_checkpoint_of_another_model(tmp_path):
    runner(tmp_path / "a", "model-a").train()
    other = runner(tmp_path / "b", "model-b", model=Net(16), load_from=str(tmp_path / "a" / "iter_20.pth"))
    with pytest.raises(WeightsError, match=r"(?s)does not fit Net.*size mismatch"):
        other.train()


def test_resuming_from_bare_weights(tmp_path):
    torch.save(Net().state_dict(), tmp_path / "bare.pth")
    with pytest.raises(WeightsError, match="weights, not the state of a training"):
        runner(tmp_path / "a", "bare", resume=True, load_from=str(tmp_path / "bare.pth")).train()


def test_bfloat16_on_any_device(tmp_path):
    optimizer = {"type": AutocastOptimWrapper, "optimizer": {"type": "AdamW", "lr": 0.01}}
    model = runner(
        tmp_path / "a", "amp", optim_wrapper=optimizer, val_cfg=None, val_dataloader=None, val_evaluator=None
    )
    trained = model.train()
    assert trained.dtypes == {torch.bfloat16}
    assert {p.dtype for p in trained.parameters()} == {torch.float32}


def test_long_reports_stay_out_of_the_terminal(tmp_path, capfd):
    quiet = runner(tmp_path / "a", "quiet", log_level="INFO")
    quiet.train()
    printed = "".join(capfd.readouterr())
    (log,) = (tmp_path / "a").glob("*/*.log")
    assert "System environment" in log.read_text()
    assert "System environment" not in printed
    assert "Iter(train)" in printed


def test_iterations_are_counted_by_the_resumable_loop(tmp_path):
    built = runner(tmp_path / "a", "loop")
    built.train()
    assert type(built.train_loop) is ResumableIterLoop
