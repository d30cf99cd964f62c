"""The public surface and what importing costs."""

import resource
import subprocess
import sys

import pytest

import densevl

PUBLIC = [
    "GDA",
    "Background",
    "CLIPEncoder",
    "CachedMasks",
    "Classes",
    "Classifier",
    "DenseEncoder",
    "DenseFeatures",
    "DensevlError",
    "EncodedImage",
    "EncodedRegions",
    "Examples",
    "Grounder",
    "Grounding",
    "ImageError",
    "LabelMap",
    "Model",
    "Order",
    "OutputError",
    "Ranking",
    "Recognition",
    "RegionEmbeddings",
    "RegionIndex",
    "RegionSegmentor",
    "Regions",
    "Segmentor",
    "SequenceRecognition",
    "Style",
    "TextEmbeddings",
    "TextVectors",
    "UsageError",
    "Vocabulary",
    "WeightsError",
    "__version__",
    "build_clip",
    "build_dinoiser",
    "build_sam",
    "draw",
    "load",
    "models",
    "rank_templates",
    "read_examples",
    "read_image",
    "read_sequences",
]
HEAVY = ("torch", "open_clip", "mmengine", "mmseg", "mmcv", "cv2", "PIL", "numpy")


def test_public_names_are_these_and_importable():
    assert densevl.__all__ == PUBLIC
    assert all(getattr(densevl, name) is not None for name in PUBLIC)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'segmentt'"):
        densevl.segmentt  # noqa: B018


@pytest.mark.parametrize("code", ["import densevl", "import densevl.cli; densevl.cli._parser().format_help()"])
def test_import_loads_nothing_heavy(code):
    check = f"import sys; {code}; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_takes_under_half_a_second():
    def seconds() -> float:  # of processor time, so that a busy machine does not count
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "densevl", "--help"], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(3)) < 0.5
