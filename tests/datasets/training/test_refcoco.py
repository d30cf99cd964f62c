"""RefCOCO's official layout: ``refs(unc).p`` and ``instances.json``."""

import pytest
import torch

from densevl.core.errors import UsageError
from densevl.datasets.training import ReferringRegionTexts


def test_boxes_and_one_sentence_of_each(refer, number_of):
    data = ReferringRegionTexts("refcoco", str(refer), side=40)
    assert [number_of(data[i]) for i in range(len(data))] == [0, 1]
    sample = data[0]
    torch.testing.assert_close(sample["boxes"], torch.tensor([[0, 3, 8, 12], [2, 3, 10, 12]]) / 40)
    assert sample["texts"][0] == "0 said 0"
    assert sample["caption"] is None
    seen = {data[visit * 2]["texts"][1] for visit in range(30)}
    assert seen == {f"1 said {i}" for i in range(3)}
    assert [number_of(s) for s in (ReferringRegionTexts("refcoco", str(refer), "val")[0],)] == [2]


def test_masks(refer):
    sample = ReferringRegionTexts("refcoco", str(refer), side=40, masks=True)[0]
    for mask, box in zip(sample["masks"], (sample["boxes"] * 40).round().long().tolist(), strict=True):
        expected = torch.zeros(40, 40, dtype=torch.bool)
        expected[box[1] : box[3], box[0] : box[2]] = True
        assert torch.equal(mask, expected)


def test_an_image_that_cannot_be_read_is_replaced(refer, number_of):
    data = ReferringRegionTexts("refcoco", str(refer))
    (refer / "train2014" / f"COCO_train2014_{0:012}.png").write_bytes(b"no picture")
    assert number_of(data[0]) == 1
    assert len(data.left_out) == 1


def test_what_cannot_be_meant(refer):
    with pytest.raises(UsageError, match="no split 'trian'"):
        ReferringRegionTexts("refcoco", str(refer), "trian")
    with pytest.raises(UsageError, match="no annotation file"):
        ReferringRegionTexts("refcocog", str(refer))
