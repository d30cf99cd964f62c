"""FiftyOne's importer reads our COCO files. It is installed apart: it brings an OpenCV of its own.

python -m venv readers/fiftyone && readers/fiftyone/bin/pip install fiftyone pycocotools
DENSEVL_READERS=readers pytest -m slow tests/api/jobs/formats
"""

import numpy as np
import pytest
from toys.records import masks_of, reader, save

from densevl.core.polygons import MIN_IOU

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("name", "least"), [("coco", 1), ("polygons", MIN_IOU)])
@pytest.mark.parametrize("kind", ["records", "parts"])
def test_fiftyone_imports_coco(name, least, kind, request, images, tmp_path):
    python, records = reader("fiftyone"), request.getfixturevalue(kind)
    save(name, tmp_path, records)
    file = tmp_path / ("annotations.json" if name == "coco" else "polygons.json")
    found = masks_of(python, "fiftyone_coco.py", images, file, out=tmp_path / "found.npz")
    assert list(found) == [record.file_name for record in records]
    for masks, record in zip(found.values(), records, strict=True):
        assert [label for label, _ in masks] == [record.vocabulary.names[s.label] for s in record.segments]
        for (_, mask), segment in zip(masks, record.segments, strict=True):
            truth = segment.pixels()
            assert (mask & truth).sum() / np.maximum((mask | truth).sum(), 1) >= least
