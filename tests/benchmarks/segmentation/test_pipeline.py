import mmcv
import numpy as np
import pytest
from mmcv.transforms import Resize
from mmseg.datasets.transforms import LoadAnnotations
from PIL import Image

from densevl.benchmarks.segmentation.pipeline import ReadImage, ReadLabels, build_pipeline
from densevl.core.errors import ImageError, UsageError
from densevl.core.geometry import resized_size
from densevl.core.images import resize_image


@pytest.mark.parametrize("size", [(30, 40), (90, 37), (20, 400), (448, 448), (333, 500)])
def test_resizes_as_mmcv_to_the_byte(size):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    ours = resize_image(image, resized_size(size, 112, 512))
    theirs = Resize(scale=(512, 112), keep_ratio=True)({"img": image})
    assert (ours == theirs["img"]).all()
    assert ours.shape[:2] == theirs["img_shape"]


def test_reads_the_channels_in_the_order_of_mmcv(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)).save(path)
    read = ReadImage()({"img_path": path})["img"]
    assert (read == mmcv.imread(path)).all()
    assert read.flags.c_contiguous


def test_readers_take_the_place_of_those_of_mmsegmentation():
    readers = {"LoadImageFromFile": ReadImage(), "LoadAnnotations": ReadLabels(3)}
    load, augment = build_pipeline(
        [
            {"type": "LoadImageFromFile"},
            {
                "type": "TestTimeAug",
                "transforms": [[{"type": "RandomFlip", "prob": 1.0}], [{"type": "LoadAnnotations"}]],
            },
        ],
        readers,
    )
    assert load is readers["LoadImageFromFile"]
    assert readers["LoadAnnotations"] in augment.subroutines[0].transforms


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"type": "LoadImageFromFile", "to_float32": True}, "takes no 'to_float32' of LoadImageFromFile; leave it out"),
        ({"type": "NoSuchTransform"}, "the transform 'NoSuchTransform' of the pipeline cannot be built"),
        ({"type": "Resize", "scael": 3}, "the transform 'Resize' of the pipeline cannot be built"),
    ],
)
def test_a_pipeline_that_cannot_be(step, message):
    with pytest.raises(UsageError, match=message):
        build_pipeline([step], {"LoadImageFromFile": ReadImage()})


def labelled(tmp_path, labels, **record):
    path = tmp_path / "labels.png"
    Image.fromarray(labels).save(path)
    return {"seg_map_path": str(path), "reduce_zero_label": False, **record}


def test_reduced_labels(tmp_path):
    record = labelled(tmp_path, np.array([[0, 1, 150, 255]], np.uint8), ori_shape=(1, 4), reduce_zero_label=True)
    assert ReadLabels(150)(record)["gt_seg_map"].tolist() == [[255, 0, 149, 255]]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros((3, 4), np.uint8), r"have the shape \(3, 4\); the image has \(4, 4\)"),
        (np.full((4, 4), 33, np.uint8), r"hold \[33\], beyond the 19 classes"),
        (np.zeros((4, 4, 3), np.uint8), "holds RGB values"),
    ],
)
def test_labels_of_another_kind(tmp_path, labels, message):
    with pytest.raises(ImageError, match=message):
        ReadLabels(19)(labelled(tmp_path, labels, ori_shape=(4, 4)))


def test_labels_as_mmsegmentation_reads_them(tmp_path):
    labels = Image.fromarray(np.random.default_rng(0).integers(0, 21, (6, 9)).astype(np.uint8))
    labels.putpalette(range(256))
    labels.save(tmp_path / "voc.png")
    for reduce in (False, True):
        record = {"seg_map_path": str(tmp_path / "voc.png"), "reduce_zero_label": reduce, "ori_shape": (6, 9)}
        theirs = LoadAnnotations(imdecode_backend="pillow")({**record, "label_map": None, "seg_fields": []})
        assert (ReadLabels(21)(record)["gt_seg_map"] == theirs["gt_seg_map"]).all()


def test_damaged_labels(tmp_path):
    record = labelled(tmp_path, np.zeros((4, 4), np.uint8), ori_shape=(4, 4))
    (tmp_path / "labels.png").write_bytes(b"text")
    with pytest.raises(ImageError, match=r"labels\.png is no image"):
        ReadLabels(19)(record)
