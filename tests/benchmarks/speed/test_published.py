import os
import shutil
import subprocess
import sys
from pathlib import Path

import open_clip
import pytest
import torch
from toys.published_checkout import write_checkout

from densevl.benchmarks.speed import benchmark, configured_segmentor
from densevl.benchmarks.speed.plain import PlainSegmentor, plain_scores
from densevl.benchmarks.speed.published import PublishedSegmentor
from densevl.benchmarks.speed.published.segmentor import commit_of
from densevl.benchmarks.speed.published.stand_ins import EncoderDecoder, standing_in
from densevl.core.errors import UsageError
from densevl.core.features import TextEmbeddings
from densevl.core.vocabulary import Vocabulary
from densevl.datasets.scenes import render
from densevl.dense.refiners.dinoiser import DinoiserRefiner
from densevl.encoders.clip import CLIPEncoder
from densevl.tasks.segmentation.segmentor import Segmentor
from densevl.tasks.segmentation.windows import WindowPlan

MASKCLIP = {"refiners": [], "temperature": 100.0, "short_side": 64, "window": 64, "stride": 32}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return write_checkout(tmp_path / "checkout", image=128, patch=8, width=192, joint=192)


@pytest.fixture(scope="module")
def segmentor() -> Segmentor:
    return configured_segmentor("mini", "rule", **MASKCLIP)


@pytest.fixture(scope="module")
def texts(segmentor: Segmentor) -> TextEmbeddings:
    return segmentor.embed(Vocabulary.parse("circle, star, grass, sand, water"))


def test_it_runs_beside_the_others_and_heads_the_report(checkout: Path) -> None:
    report = benchmark(
        "mini",
        "rule",
        classes=5,
        size=(64, 90),
        dtypes=["float32"],
        count=1,
        repetitions=1,
        against=checkout,
        **MASKCLIP,
    )
    names = ["published float32", "plain float32", "densevl float32"]
    assert list(report.figures) == names
    assert [report.figures[name].agreement > 0.999 for name in names] == [True] * 3
    assert report.figures["published float32"].speedup == 1
    assert str(report).startswith("published code at no commit, files sha256 ")


def test_the_interpreter_and_the_checkout_stay_as_they_were(
    checkout: Path, segmentor: Segmentor, texts: TextEmbeddings
) -> None:
    before, path, files = dict(sys.modules), list(sys.path), sorted(checkout.rglob("*"))
    PublishedSegmentor(checkout, segmentor, texts)
    assert sys.path == path
    assert sorted(checkout.rglob("*")) == files
    assert sys.modules["open_clip"] is open_clip
    assert not {"mmseg.ops", "models", "segmentation", "omegaconf"} & (sys.modules.keys() - before.keys())
    with pytest.raises(ValueError, match="inside"), standing_in({"mmcv": {}}, checkout):
        raise ValueError("inside")
    assert sys.path == path


def test_weights_stay_its_own(checkout: Path, segmentor: Segmentor, texts: TextEmbeddings) -> None:
    """The blocks of our encoder keep their order of tokens, and nothing hooks them."""
    PublishedSegmentor(checkout, segmentor, texts)
    transformer = segmentor.encoder.model.visual.transformer
    assert transformer.batch_first
    assert not any(module._forward_hooks for module in segmentor.modules())


class Given(EncoderDecoder):
    """Scores of windows that are given."""

    def __init__(self, scores: list[torch.Tensor], window: int, stride: int) -> None:
        super().__init__()
        self.scores, self.num_classes, self.align_corners = iter(scores), 2, False
        self.test_cfg = {"crop_size": (window, window), "stride": (stride, stride)}

    def encode_decode(self, img: torch.Tensor, meta: list) -> torch.Tensor:
        scores = next(self.scores)[None]
        return torch.nn.functional.interpolate(scores, img.shape[2:], mode="bilinear", align_corners=False)


@pytest.mark.parametrize("size", [(11, 14), (8, 8), (5, 20), (16, 3)])
def test_windows_slide_as_ours(size: tuple[int, int]) -> None:
    plan = WindowPlan(size, 8, 5)
    scores = torch.rand(len(plan), 2, *plan.window_size, generator=torch.Generator().manual_seed(0))
    made = Given(list(scores), 8, 5)
    corners = [(rows.start, columns.start) for rows, columns in made.crops(size)]
    assert corners == [(y, x) for y in plan.ys for x in plan.xs]
    found = made.labels(torch.zeros(1, 3, *size), (9, 17))
    assert (found == plain_scores(scores, plan, 1, (9, 17)).argmax(0)).all()


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_the_commit_of_a_checkout(checkout: Path) -> None:
    git = ["git", "-C", str(checkout), "-c", "user.name=somebody", "-c", "user.email=some@body"]
    plain = commit_of(checkout)
    assert plain.startswith("no commit, files sha256 ")
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "All"]):
        subprocess.run([*git, *command], check=True)
    commit = commit_of(checkout)
    assert len(commit) == 7
    (checkout / "models" / "builder.py").write_text("")
    assert commit_of(checkout) == f"{commit}+"
    assert commit_of(checkout / "models").startswith("no commit"), "a folder inside of another checkout"


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("models/builder.py", None, None, "has no models/builder.py; give the folder that `git clone"),
        ("configs/maskclip.yaml", None, None, "has no configs/maskclip.yaml"),
        ("models/maskclip.py", "mmseg.ops", "mmseg.core", "cannot be imported .*No module named 'mmseg.core'"),
        ("models/maskclip.py", "import resize", "import Upsample", "cannot be imported .*'Upsample'.*a954aae"),
        ("models/maskclip.py", "class MaskClip", "class Mask", "cannot be imported .*'MaskClip'"),
        ("models/maskclip.py", "self.decode_head", "self.head", "other names than commit a954aae .*decode_head"),
        ("segmentation/evaluation/clip_dinoiser_eval.py", "DinoCLIP_", "Dino", "other names .*DinoCLIP_Infrencer"),
        ("configs/maskclip.yaml", "type: MaskClip", "type: Other", "other names .*KeyError: 'Other'"),
        ("configs/maskclip.yaml", "model:", "net:", "other names .*KeyError: 'model'"),
        (
            "configs/maskclip.yaml",
            "128",
            "224",
            r"published code has image size \(224, 224\), and this model \(128, 128",
        ),
        ("configs/maskclip.yaml", "in_channels: 192", "in_channels: 768", "has width 768, and this model 192"),
    ],
)
def test_code_that_is_another(
    checkout: Path, segmentor: Segmentor, texts: TextEmbeddings, file: str, old: str | None, new: str, message: str
) -> None:
    if old is None:
        (checkout / file).unlink()
    else:
        (checkout / file).write_text((checkout / file).read_text().replace(old, new))
    with pytest.raises(UsageError, match=message):
        PublishedSegmentor(checkout, segmentor, texts)
    assert sys.modules["open_clip"] is open_clip


def test_what_the_published_code_cannot_be_told(checkout: Path, texts: TextEmbeddings, tmp_path: Path) -> None:
    for changes, message in (
        ({"temperature": 50.0}, "has temperature 100.0, and this model 50.0"),
        ({"refiners": [{"type": "dinoiser", "weights": "random:0", "width": 192, "rounds": 2}]}, "has rounds 1"),
    ):
        made = configured_segmentor("mini", "rule", **{**MASKCLIP, **changes})
        with pytest.raises(UsageError, match=message):
            PublishedSegmentor(checkout, made, texts)
    made = configured_segmentor("mini", "rule", **MASKCLIP)
    with pytest.raises(UsageError, match="texts of a class 1"):
        PublishedSegmentor(checkout, made, made.embed(Vocabulary.parse("circle|ring, star")))
    with pytest.raises(UsageError, match="nowhere is no checkout"):
        PublishedSegmentor(tmp_path / "nowhere", made, texts)


@pytest.mark.parametrize("heads", [True, False])
def test_the_published_code_gives_our_labels(heads: bool) -> None:
    """Its own checkout, on a CLIP of its widths and few blocks with random weights."""
    folder = os.environ.get("DENSEVL_CLIP_DINOISER")
    if not folder:
        pytest.skip("set DENSEVL_CLIP_DINOISER to a checkout of https://github.com/wysoczanska/clip_dinoiser")
    torch.manual_seed(0)
    vision = {"image_size": 224, "patch_size": 16, "width": 768, "layers": 4}
    text = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 1}
    clip = open_clip.CLIP(512, vision, text).eval().requires_grad_(False)
    encoder = CLIPEncoder(clip, open_clip.get_tokenizer("ViT-B-16"), "small@random")
    made = Segmentor(encoder, refiners=[DinoiserRefiner()] if heads else [], short_side=96, window=96, stride=48)
    image = render(0, 0, (75, 120)).image
    texts = made.embed(Vocabulary.parse("circle, star, grass, sand, water"))
    published, plain = PublishedSegmentor(folder, made, texts), PlainSegmentor(made)
    labels = published.label(published.encode(image))
    assert labels.shape == (75, 120)
    assert labels.unique().numel() > 1
    assert (labels == plain.label(plain.encode(image), texts)).double().mean() > 0.999
    assert (labels == made.label(made.encode([image])[0], texts)[0]).double().mean() > 0.999
