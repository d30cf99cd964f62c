import pytest

from densevl.core.errors import OutputError, UsageError
from densevl.training.train import train


def test_a_config_that_trains_nothing():
    with pytest.raises(UsageError, match="lacks optim_wrapper, train_cfg, train_dataloader"):
        train("maskclip_scenes")


def test_a_work_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "a.py").write_text("model = train_dataloader = train_cfg = optim_wrapper = dict()\n")
    with pytest.raises(OutputError, match="choose another --work-dir"):
        train(tmp_path / "a.py", work_dir=tmp_path / "file" / "w")
