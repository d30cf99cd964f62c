"""The scripts of ``tools/`` as their users run them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

MINI = ["model.model=mini", "weights=random:0", "model.templates=none", "test_dataloader.num_workers=0"]


def run(*command: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *map(str, command)], cwd=cwd, capture_output=True, text=True, timeout=600)


def test_scripts_are_short(root):
    for script in (root / "tools").glob("*.py"):
        assert len(script.read_text().splitlines()) <= 40, script.name


@pytest.mark.slow
def test_test(root, tmp_path, shared):
    script = root / "tools" / "test.py"
    data = f"data_root={shared / 'data' / 'ade'}"
    done = run(
        script, "maskclip_ade", "--work-dir", "w", "--show-dir", "show", "--cfg-options", data, *MINI, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "mIoU" in done.stdout
    assert "2 of 2000" in done.stdout
    assert len(list((tmp_path / "show").glob("*.png"))) == 2
    assert json.loads((tmp_path / "w" / "results.json").read_text())["dataset"]["images"] == 2
    done = run(script, "maskclip_ade", "--cfg-options", "data_root=/nowhere", *MINI, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ade20k: expected images /nowhere/")
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_dinoiser_on_real_images(root, tmp_path, shared):
    """The published command; the CLIP is random, the heads lie in a file of the published layout."""
    shapes = {"obj_proj.weight": (256, 768, 3, 3), "obj_proj.bias": (256,)}
    shapes |= {"bkg_decoder.weight": (1, 768, 1, 1), "bkg_decoder.bias": (1,)}
    generator = torch.Generator().manual_seed(0)
    state = {name: torch.randn(shape, generator=generator) / 80 for name, shape in shapes.items()}
    torch.save({"epoch": 99, "model_state_dict": state}, tmp_path / "last.pt")
    options = ["weights=random:0", "model.templates=plain", "heads=last.pt", "test_dataloader.num_workers=0"]
    data = f"data_root={shared / 'data' / 'ade'}"
    done = run(
        root / "tools" / "test.py", "dinoiser_ade", "--work-dir", "w", "--cfg-options", data, *options, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "w" / "results.json").read_text())
    assert results["dataset"]["images"] == 2
    assert results["protocol"]["refiners"][0].startswith("dinoiser@")


@pytest.mark.slow
def test_two_processes_give_the_figures_of_one(root, tmp_path):
    """Seven images on two processes: one of them has one more."""
    options = ["--cfg-options", *MINI, "test_dataloader.dataset.length=7", "test_dataloader.dataset.size=64"]
    script = root / "tools" / "test.py"
    one = run(script, "maskclip_scenes", "--work-dir", "one", *options, cwd=tmp_path)
    assert one.returncode == 0, one.stderr
    launch = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29611"]
    two = run(*launch, script, "maskclip_scenes", "--work-dir", "two", "--launcher", "pytorch", *options, cwd=tmp_path)
    assert two.returncode == 0, two.stderr
    scores = [json.loads((tmp_path / name / "results.json").read_text())["scores"] for name in ("one", "two")]
    assert scores[0] == scores[1]
    assert two.stdout.count("mIoU of grounds") == 1


@pytest.fixture
def toy(tmp_path):
    """A folder with a config of the smallest training."""
    (tmp_path / "toy.py").write_text(
        "from mmengine.dataset import InfiniteSampler\n"
        "from toy_model import Net, Points\n\n"
        "model = dict(type=Net)\n"
        "train_cfg = dict(by_epoch=False, max_iters=6)\n"
        'optim_wrapper = dict(optimizer=dict(type="AdamW", lr=0.01))\n'
        "train_dataloader = dict(dataset=dict(type=Points), batch_size=2, num_workers=0,\n"
        '    sampler=dict(type=InfiniteSampler), collate_fn=dict(type="default_collate"))\n'
        "default_hooks = dict(checkpoint=dict(interval=3))\n"
    )
    (tmp_path / "toy_model.py").write_text(
        "import torch\nfrom mmengine.model import BaseModel\n\n\n"
        "class Points:\n    metainfo = {}\n\n    def __len__(self):\n        return 9\n\n"
        "    def __getitem__(self, i):\n        return {'x': torch.full((3,), float(i))}\n\n\n"
        "class Net(BaseModel):\n    def __init__(self):\n        super().__init__()\n"
        "        self.layer = torch.nn.Linear(3, 1)\n\n"
        "    def forward(self, x, mode='loss'):\n"
        "        x = torch.nn.functional.dropout(x)\n        return {'loss': self.layer(x).square().mean()}\n"
    )
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_train(root, toy, monkeypatch, processes):
    monkeypatch.setenv("PYTHONPATH", str(toy))
    script, launch = [root / "tools" / "train.py"], []
    if processes == 2:
        script = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29613", *script]
        launch = ["--launcher", "pytorch"]
    done = run(*script, "toy.py", *launch, "--cfg-options", "train_cfg.max_iters=9", cwd=toy)
    assert done.returncode == 0, done.stderr
    done = run(*script, "toy.py", *launch, "--work-dir", "w", cwd=toy)
    assert done.returncode == 0, done.stderr
    done = run(
        *script, "toy.py", *launch, "--work-dir", "w", "--resume", "--cfg-options", "train_cfg.max_iters=9", cwd=toy
    )
    assert "resumed at epoch 0, iteration 6" in done.stdout + done.stderr
    files = [toy / "work_dirs" / "toy" / "iter_9.pth", toy / "w" / "iter_9.pth"]
    straight, resumed = (torch.load(path, weights_only=True)["state_dict"] for path in files)
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)


@pytest.mark.slow
def test_train_without_a_config(root, tmp_path):
    assert run(root / "tools" / "train.py", "none.py", cwd=tmp_path).returncode == 2


def test_convert_labels(root, tmp_path):
    done = run(root / "tools" / "convert_labels.py", "cityscapes", tmp_path, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: there are no files")
    folder = tmp_path / "gtFine" / "val" / "ulm"
    folder.mkdir(parents=True)
    (folder / "ulm_gtFine_labelIds.png").write_bytes(b"text")
    done = run(root / "tools" / "convert_labels.py", "cityscapes", tmp_path, "--workers", 0, cwd=tmp_path)
    assert done.returncode == 1
    assert "written 0, already there 0, failed 1" in done.stdout
