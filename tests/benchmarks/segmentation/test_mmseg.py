"""What the users of mmsegmentation run, with densevl's model: its functions, its scripts and its own data sets."""

import json
import runpy
import sys
from pathlib import Path

import mmcv
import mmseg
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner, save_checkpoint
from mmengine.visualization import Visualizer
from mmseg.apis import MMSegInferencer, inference_model, init_model, show_result_pyplot
from mmseg.models import BaseSegmentor
from mmseg.registry import DATASETS
from mmseg.visualization import SegLocalVisualizer
from PIL import Image
from toys.benchmark_folders import write_benchmark

from densevl.benchmarks.run import evaluate
from densevl.core.config_files import find_config
from densevl.core.errors import UsageError
from densevl.core.labelmap import read_label_map
from densevl.core.vocabulary import Vocabulary
from densevl.datasets.scenes import CLASSES, render

TOOLS = Path(mmseg.__file__).parent / ".mim" / "tools"
DATA = ("ade", "cityscapes", "coco_object", "coco_stuff", "context59", "context60", "voc20", "voc21")
MODELS = {
    "": {"model": "mini"},
    "dinoiser_": {"model": "mini"},
    "maskclip_": {"model": "mini-maskclip"},
    "fgvp_": {"model": "fgvp-seg", "weights": "mini-clip", "mask_maker": "mini-sam"},
    "cloc_": {"weights": "mini-clip", "prompter": "mini-cloc", "mask_maker": "mini-sam"},
}
"""Changes of the model of a config, by its method, that need no download."""

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def configs():
    """Every shipped config of label maps: its name, and the changes of its model."""
    for method, changes in MODELS.items():
        for name in (*(f"{method}{data}" for data in DATA), f"{method}seg_scenes", f"{method}scenes"):
            if (Path(__file__).parents[3] / "configs" / f"{name}.py").is_file():
                yield name, {} if name.endswith("scenes") and method else changes


CONFIGS = dict(configs())


def read(name, tmp_path, **changes):
    """A shipped config, as mmsegmentation reads it, with data that need no download."""
    config = Config.fromfile(find_config(name))
    config.work_dir = str(tmp_path / "work")
    config.model.update(CONFIGS[name])
    config.test_dataloader.num_workers = 0
    data = config.test_dataloader.dataset
    if "data_root" in data:
        data.data_root = str(tmp_path / "data")
        write_benchmark(tmp_path / "data", data)
    else:
        data.update(length=2, size=64)
    config.merge_from_dict(changes)
    return config


@pytest.fixture(autouse=True)
def _own_visualizers():
    """Visualizers of a name live as long as a process; each test begins one."""
    for kind in (Visualizer, SegLocalVisualizer):
        kind._instance_dict.clear()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two held-out scenes as files, and their true labels."""
    folder = tmp_path_factory.mktemp("scenes")
    for part in ("images", "labels"):
        (folder / part).mkdir()
    for index in range(2):
        scene = render(1, index, size=128, split="val")
        Image.fromarray(scene.image).save(folder / "images" / f"{index}.png")
        Image.fromarray(scene.labels.astype(np.uint8)).save(folder / "labels" / f"{index}.png")
    return folder


@pytest.fixture(scope="module")
def model():
    """The model of a shipped config, by mmsegmentation."""
    return init_model(find_config("dinoiser_scenes"), device="cpu")


def accuracy(labels, folder, index):
    truth = np.array(Image.open(folder / "labels" / f"{index}.png"))
    return (np.asarray(labels).squeeze() == truth).mean()


def test_init_model_and_inference_model(model, folder):
    assert isinstance(model, BaseSegmentor)
    assert model.dataset_meta["classes"] == CLASSES
    assert model.cfg.test_pipeline[0]["type"] == "LoadImageFromFile"
    paths = [str(folder / "images" / f"{index}.png") for index in range(2)]
    results = inference_model(model, paths)
    assert all(accuracy(result.pred_sem_seg.data, folder, index) > 0.95 for index, result in enumerate(results))
    own = model.loaded.segment(paths[0], Vocabulary.load("scenes")).labels
    assert (results[0].pred_sem_seg.data[0].numpy() == own).all()


def test_inference_of_an_array_in_bgr_and_its_picture(folder, tmp_path):
    model = init_model(str(find_config("maskclip_scenes")), device="cpu", cfg_options={"model.vocabulary": "scenes"})
    image = mmcv.imread(folder / "images" / "0.png")
    result = inference_model(model, image)
    assert accuracy(result.pred_sem_seg.data, folder, 0) > 0.9
    drawn = show_result_pyplot(
        model, image[..., ::-1].copy(), result, show=False, draw_gt=False, out_file=str(tmp_path / "drawn.png")
    )
    assert drawn.shape == image.shape
    assert (tmp_path / "drawn.png").is_file()


def test_the_inferencer(folder, tmp_path):
    inferencer = MMSegInferencer(str(find_config("dinoiser_scenes")), device="cpu", show_progress=False)
    assert inferencer.model.dataset_meta["classes"] == CLASSES  # and not those of Cityscapes
    found = inferencer(
        [str(folder / "images" / "0.png"), mmcv.imread(folder / "images" / "1.png")], out_dir=str(tmp_path)
    )
    assert all(accuracy(labels, folder, index) > 0.95 for index, labels in enumerate(found["predictions"]))
    assert sorted(path.name for path in (tmp_path / "vis").iterdir()) == ["0.png", "00000001_vis.jpg"]
    written = np.array(Image.open(tmp_path / "pred" / "00000000_pred.png"))
    assert accuracy(written, folder, 0) > 0.95


@pytest.mark.parametrize("name", CONFIGS)
def test_every_config_describes_its_data_to_mmsegmentation(name, tmp_path):
    config = read(name, tmp_path)
    init_default_scope(config.default_scope)
    data = DATASETS.build(config.test_dataloader.dataset)
    assert data.metainfo["classes"] == data.METAINFO["classes"] == Vocabulary.load(config.model.vocabulary).names
    assert len(data.metainfo["palette"]) == len(data.metainfo["classes"])
    sample = data[1]
    assert (sample["inputs"].permute(1, 2, 0).numpy()[..., ::-1] == data.image(1)).all()
    assert sample["data_samples"].gt_sem_seg.data.shape[1:] == sample["data_samples"].ori_shape
    assert {step["type"] for step in config.test_pipeline} == {"LoadImageFromFile", "LoadAnnotations", "PackSegInputs"}
    assert config.test_evaluator
    assert config.test_cfg
    assert config.visualizer.type == "SegLocalVisualizer"


def figures_of_both(name, tmp_path):
    """The figures of mmengine's runner, and of ``densevl test``."""
    config = read(name, tmp_path)
    theirs = Runner.from_cfg(config).test()
    options = {f"model.{key}": value for key, value in CONFIGS[name].items()}
    options |= {f"test_dataloader.{key}": 0 for key in ("num_workers",)}
    data = config.test_dataloader.dataset
    given = {"data_root": data.data_root} if "data_root" in data else {"length": 2, "size": 64}
    options |= {f"test_dataloader.dataset.{key}": value for key, value in given.items()}
    ours = evaluate(name, work_dir=tmp_path / "own", options=options).scores
    return theirs, {"mIoU": ours.mean_iou, "mAcc": ours.mean_accuracy, "aAcc": ours.pixel_accuracy}


@pytest.mark.parametrize("name", ["dinoiser_scenes", "maskclip_voc21"])
def test_the_runner_gives_the_figures_of_densevl_test(name, tmp_path):
    theirs, ours = figures_of_both(name, tmp_path)
    assert theirs == {key: round(value, 2) for key, value in ours.items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_the_runner_gives_the_figures_of_densevl_test_with_every_config(name, tmp_path):
    test_the_runner_gives_the_figures_of_densevl_test(name, tmp_path)


OWN = """
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS
from mmseg.visualization import SegLocalVisualizer

@DATASETS.register_module(force=True)
class OwnScenes(BaseSegDataset):
    METAINFO = dict(classes={classes!r}, palette={palette!r})

    def __init__(self, **kwargs):
        super().__init__(img_suffix=".png", seg_map_suffix=".png", **kwargs)
"""
CONFIG = """
default_scope = "mmseg"
custom_imports = dict(imports=["densevl.benchmarks.segmentation", "own_scenes"])
model = dict(
    type="OpenVocabularyModel",
    model="mini",
    {vocabulary}
    data_preprocessor=dict(
        type="SegDataPreProcessor", bgr_to_rgb={flip},
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], test_cfg=dict(size_divisor=32)),
    test_cfg=dict(),
    train_cfg=dict(),
    pretrained=None,
)
test_pipeline = [
    dict(type="{reader}"),
    dict(type="LoadAnnotations"),
    dict(type="PackSegInputs"),
]
test_dataloader = dict(
    batch_size=2, num_workers=0, sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type="OwnScenes", data_root={root!r}, data_prefix=dict(img_path="images", seg_map_path="labels"),
                 pipeline=test_pipeline, test_mode=True))
test_evaluator = dict(type="{metric}")
test_cfg = dict(type="TestLoop")
default_hooks = dict(visualization=dict(type="SegVisualizationHook"))
vis_backends = [dict(type="LocalVisBackend")]
visualizer = dict(type="SegLocalVisualizer", vis_backends=vis_backends, name="visualizer")
{more}
"""


@pytest.fixture
def own(folder, tmp_path, monkeypatch):
    """The path of a config in mmsegmentation's plain style, with a data set of a user."""
    palette = [list(colour) for colour in Vocabulary.load("scenes").palette]
    (tmp_path / "own_scenes.py").write_text(OWN.format(classes=CLASSES, palette=palette))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_scenes", raising=False)

    def write(vocabulary='vocabulary="scenes",', reader="LoadImageFromFile", flip=True, metric="IoUMetric", more=""):
        text = CONFIG.format(
            vocabulary=vocabulary, reader=reader, flip=flip, metric=metric, root=str(folder), more=more
        )
        (tmp_path / "own.py").write_text(text)
        return tmp_path / "own.py"

    return write


def run_config(path, tmp_path):
    config = Config.fromfile(path)
    config.work_dir = str(tmp_path / "work")
    return Runner.from_cfg(config).test()


HOOK = 'custom_hooks = [dict(type="AskDatasetClasses")]'


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"flip": False, "reader": "ReadImage"},
        {"vocabulary": "", "more": HOOK},
    ],
    ids=["mmseg", "densevl's reader, another order", "classes of the data set"],
)
def test_a_data_set_of_a_user_by_iou_metric(own, tmp_path, changes):
    """It was 23 mIoU with mmsegmentation's own reader, whose channels were taken for RGB."""
    assert run_config(own(**changes), tmp_path)["mIoU"] > 80


ADE = """
default_scope = "mmseg"
custom_imports = dict(imports=["densevl.benchmarks.segmentation"])
model = dict(type="OpenVocabularyModel", model="mini", vocabulary="ade20k")
test_pipeline = [
    dict(type="LoadImageFromFile", imdecode_backend="pillow"),
    dict(type="LoadAnnotations", reduce_zero_label=True),
    dict(type="PackSegInputs"),
]
test_dataloader = dict(
    batch_size=1, num_workers=0, sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="ADE20KDataset", data_root={root!r}, pipeline=test_pipeline, test_mode=True,
        data_prefix=dict(img_path="images/validation", seg_map_path="annotations/validation")))
test_evaluator = dict(type="IoUMetric")
test_cfg = dict(type="TestLoop")
"""


def test_the_data_set_of_mmsegmentation_gives_the_figures_of_densevl_test(shared, tmp_path):
    """Photos of ADE20K; the mini CLIP does not know them, so the figures are low, but they are the same."""
    root = shared / "data" / "ade"
    if not root.is_dir():
        pytest.skip(f"no images of ADE20K at {root}")
    (tmp_path / "own.py").write_text(ADE.format(root=str(root / "ADEChallengeData2016")))
    theirs = run_config(tmp_path / "own.py", tmp_path)
    options = {"data_root": str(root), "test_dataloader.num_workers": 0}
    ours = evaluate("ade", model="mini", work_dir=tmp_path / "w", options=options).scores
    assert theirs["mIoU"] == round(ours.mean_iou, 2)
    assert theirs["aAcc"] == round(ours.pixel_accuracy, 2) > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocabulary": ""}, r"does not know its classes.*model\.vocabulary.*AskDatasetClasses"),
        ({"vocabulary": 'vocabulary=["grass", "sky"],', "more": HOOK}, "has 2 classes, the data set 70"),
        ({"metric": "ConfusionMetric"}, "needs sample_idx in its sample; add it to meta_keys of PackSegInputs"),
    ],
)
def test_what_would_be_wrong_is_refused(own, tmp_path, changes, message):
    with pytest.raises(UsageError, match=message):
        run_config(own(**changes), tmp_path)


def test_other_words_for_the_classes_are_named(own, tmp_path):
    words = [name.replace("star", "five-pointed star") for name in CLASSES]
    with pytest.warns(UserWarning, match="classes of the model have other names in the data set, such as 'red five"):
        run_config(own(vocabulary=f"vocabulary={words},", more=HOOK), tmp_path)


def run_tool(monkeypatch, name, *arguments):
    """Run a script of mmsegmentation as a command."""
    monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
    runpy.run_path(str(TOOLS / name), run_name="__main__")


@pytest.fixture(scope="module")
def checkpoint(model, tmp_path_factory):
    """A checkpoint of the model in the way of mmengine."""
    path = tmp_path_factory.mktemp("checkpoint") / "mini.pth"
    save_checkpoint({"state_dict": model.state_dict(), "meta": {"dataset_meta": model.dataset_meta}}, str(path))
    return path


def test_tools_test(own, checkpoint, folder, tmp_path, monkeypatch):
    places = ["--work-dir", tmp_path / "w", "--out", tmp_path / "out", "--show-dir", tmp_path / "shown"]
    run_tool(monkeypatch, "test.py", own(), checkpoint, *places)
    (figures,) = [json.loads(path.read_text()) for path in (tmp_path / "w").rglob("*.json")]
    assert figures["mIoU"] > 80
    assert accuracy(Image.open(tmp_path / "out" / "0.png"), folder, 0) > 0.95
    assert len(list((tmp_path / "shown").rglob("*.png"))) == 2


def test_tools_test_of_a_shipped_config(checkpoint, tmp_path, monkeypatch):
    options = ["test_dataloader.dataset.length=2", "test_dataloader.num_workers=0", "model.seg_logits=True"]
    places = ["--work-dir", tmp_path / "w", "--out", tmp_path / "out"]
    run_tool(
        monkeypatch, "test.py", find_config("dinoiser_scenes"), checkpoint, *places, "--tta", "--cfg-options", *options
    )
    (figures,) = [json.loads(path.read_text()) for path in (tmp_path / "w").rglob("*.json")]
    report = evaluate(
        "dinoiser_scenes",
        work_dir=tmp_path / "own",
        out=tmp_path / "maps",
        tta=True,
        options={"test_dataloader.dataset.length": 2, "test_dataloader.num_workers": 0},
    )
    assert figures["aAcc"] == pytest.approx(report.scores.pixel_accuracy, abs=0.02)
    for name in ("000000.png", "000001.png"):
        same = read_label_map(tmp_path / "out" / name) == read_label_map(tmp_path / "maps" / name)
        assert same.mean() > 0.999


@pytest.mark.parametrize("folder_of_tools", ["misc", "analysis_tools"])
def test_browse_dataset(folder_of_tools, tmp_path, monkeypatch):
    (tmp_path / "browse.py").write_text(
        "from mmengine.config import read_base\n"
        "with read_base():\n    from .scenes import *\n"
        "train_dataloader = dict(dataset=test_dataloader['dataset'])\n"
    )
    configs = find_config("scenes").parent
    for path in (configs / "scenes.py", configs / "_base_", configs / "__init__.py"):
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    run_tool(
        monkeypatch,
        f"{folder_of_tools}/browse_dataset.py",
        tmp_path / "browse.py",
        "--not-show",
        "--output-dir",
        tmp_path / "out",
        "--cfg-options",
        "train_dataloader.dataset.length=2",
    )
    if folder_of_tools == "misc":  # the other one draws nothing where it does not show
        drawn = sorted((tmp_path / "out").rglob("*.png"))
        assert [path.name for path in drawn] == ["000000.png_0.png", "000001.png_0.png"]
        colours = np.array(Image.open(drawn[0]))[:, :128].reshape(-1, 3).mean(0)
        scene = render(1, 0, size=128, split="val").image.reshape(-1, 3).mean(0)
        assert np.abs(colours - scene).max() < 40
