"""Runs of CLOC's training: two processes, gradient accumulation, bfloat16, killed and resumed."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmengine.hooks import Hook
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from mmengine.registry import HOOKS
from toys.clip import tiny_clip

from densevl.training.checkpoints import read_checkpoint
from densevl.training.cloc.model import ClocTraining
from densevl.training.train import train

CASES = (([2, 0, 3], [1, 0]), ([2, 1], [0, 0]), ([0], [0, 2]), ([0], [0]))
"""Regions of the images of two processes; every third image has no caption, and in the last case none at all has."""


def batch(counts: list[int], images: slice, captions: bool = True) -> dict[str, list]:
    """Some images of a batch of noise; the words go by the number of the region."""
    generator = torch.Generator().manual_seed(9)
    low = torch.rand(sum(counts), 2, generator=generator) / 2
    boxes = list(torch.cat([low, low + 0.3], 1).split(counts))
    words = iter(["red star", "sand", "a blue ring", "red star", "grass", "green square on sand"])
    masks = [torch.rand(n, 16, 16, generator=generator) < 0.5 for n in counts]
    data = {
        "images": list(torch.randint(256, (len(counts), 3, 16, 16), generator=generator).byte()),
        "boxes": boxes,
        "texts": [tuple(next(words) for _ in range(n)) for n in counts],
        "caption": [f"a picture of {i}" if captions and i % 3 != 1 else None for i in range(len(counts))],
        "masks": masks,
    }
    return {name: values[images] for name, values in data.items()}


def model(frozen: bool) -> ClocTraining:
    return ClocTraining(tiny_clip(), frozen=frozen, most=9, hints={"mask": 1}).double()


def steps(trained: ClocTraining, data: dict[str, list]) -> dict[str, torch.Tensor]:
    """Weights after two steps, and the losses of the second."""
    weights = [weight for weight in trained.parameters() if weight.requires_grad]
    optimizer = OptimWrapper(torch.optim.SGD(weights, 0.5))
    for _ in range(2):
        losses = trained.train_step(data, optimizer)
    core = trained.module if isinstance(trained, MMDistributedDataParallel) else trained
    return {**core.state_dict(), **losses}


def _process(rank: int, folder: str) -> None:
    """The steps of one process of two, in each mode and case."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    found = []
    for frozen in (False, True):
        for parts in CASES:
            own = slice(0, len(parts[0])) if rank == 0 else slice(len(parts[0]), None)
            data = batch([*parts[0], *parts[1]], own, parts is not CASES[-1])
            found.append(steps(MMDistributedDataParallel(model(frozen)), data))
    torch.save(found, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one(tmp_path):
    mp.spawn(_process, (str(tmp_path),), nprocs=2)
    found = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    for place, (frozen, parts) in enumerate((frozen, parts) for frozen in (False, True) for parts in CASES):
        start = model(frozen)
        before = {name: value.clone() for name, value in start.state_dict().items()}
        expected = steps(start, batch([*parts[0], *parts[1]], slice(None), parts is not CASES[-1]))
        for rank in range(2):
            torch.testing.assert_close(found[rank][place], expected, rtol=1e-8, atol=1e-11)
        moved = any(not torch.equal(value, expected[name]) for name, value in before.items())
        assert moved == (sum(map(sum, parts)) > 0 or (not frozen and parts is not CASES[-1]))


@HOOKS.register_module()
class Kill(Hook):
    """Ends a run after an iteration, as a signal would."""

    priority = "LOWEST"

    def __init__(self, at: int) -> None:
        self.at = at

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == self.at:
            raise KeyboardInterrupt


def options(**more: object) -> dict[str, object]:
    return {
        "train_cfg": {"max_iters": 6, "val_interval": 4},
        "train_dataloader.batch_size": 2,
        "train_dataloader.dataset": {"length": 7, "size": 32, "masks": True},
        "val_dataloader.dataset.length": 1,
        "default_hooks.checkpoint": {"interval": 3, "max_keep_ckpts": 1},
        "model.hints": {"box": 1, "point": 1, "mask": 1},
        "model.most": 2,
        "optim_wrapper.accumulative_counts": 2,
        **more,
    }


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(folder / "iter_6.pth")["state_dict"]


def test_killed_and_resumed_in_the_middle_of_an_accumulation(tmp_path):
    train("cloc_scratch_scenes", tmp_path / "a", options=options())
    killed = options(custom_hooks=[{"type": "ExportCloc"}, {"type": "Kill", "at": 5}])
    with pytest.raises(KeyboardInterrupt):
        train("cloc_scratch_scenes", tmp_path / "b", options=killed)
    assert [file.name for file in (tmp_path / "b").glob("*.pth")] == ["iter_3.pth"]
    train("cloc_scratch_scenes", tmp_path / "b", resume=True, options=options())
    straight, resumed = weights(tmp_path / "a"), weights(tmp_path / "b")
    assert all(torch.equal(value, resumed[name]) for name, value in straight.items())


def test_accumulated_steps_and_bfloat16(tmp_path):
    trained = train("cloc_scratch_scenes", tmp_path, amp=True, options=options())
    assert {weight.dtype for weight in trained.parameters()} == {torch.float32}
    assert all(weight.isfinite().all() for weight in trained.parameters())
    state = read_checkpoint(tmp_path / "iter_6.pth")["optimizer"]["state"]
    assert {int(entry["step"]) for entry in state.values()} == {3}


@pytest.mark.slow
def test_the_launcher(root, tmp_path):
    """Two processes of ``torchrun``, from the command line, through validation and export."""
    pairs = [f"{key}={value}" for key, value in options().items()]
    launch = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29631"]
    command = [sys.executable, *launch, root / "tools" / "train.py", "cloc_scratch_scenes", "--launcher", "pytorch"]
    done = subprocess.run(
        [*map(str, command), "--amp", "--work-dir", "w", "--cfg-options", *pairs],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    names = {"clip.safetensors", "prompter.safetensors", "iter_6.pth"}
    assert names < {file.name for file in (tmp_path / "w").iterdir()}
