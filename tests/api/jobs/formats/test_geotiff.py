"""GeoTIFF label maps lie where their image lies, as rasterio (GDAL) reads them."""

import numpy as np
import pytest
from toys.records import WORDS

from densevl.api.jobs.formats.geotiff import GeoTiffFormat
from densevl.api.jobs.formats.record import ImageRecord
from densevl.core.errors import ImageError
from densevl.core.labelmap import LabelMap
from densevl.core.vocabulary import Vocabulary

pytest.importorskip("tifffile")
rasterio = pytest.importorskip("rasterio")
LABELS = np.random.default_rng(0).integers(-1, 5, (40, 60))


def place(path, **profile):
    """A GeoTIFF of four bands, such as those of satellites."""
    pixels = np.random.default_rng(1).integers(0, 4000, (4, *LABELS.shape), dtype=np.uint16)
    with rasterio.open(path, "w", driver="GTiff", height=40, width=60, count=4, dtype="uint16", **profile) as file:
        file.write(pixels)
    return path


def written(out, source, vocabulary=WORDS, labels=LABELS):
    record = ImageRecord.of(LabelMap(labels, vocabulary), "day 1/a", source.name, str(source))
    GeoTiffFormat().write(out, record)
    return out / "day 1/a.labels.tif"


AFFINE = rasterio.Affine(0.5, 0, 440720.0, 0, -0.5, 3751320.0)
TURNED = rasterio.Affine(0.4, 0.1, 10.0, 0.1, -0.4, 50.0)


@pytest.mark.parametrize(("crs", "transform"), [("EPSG:32633", AFFINE), ("EPSG:4326", TURNED), ("EPSG:3857", AFFINE)])
@pytest.mark.parametrize("bigtiff", ["YES", "NO"])
def test_labels_and_place_are_those_of_the_image(crs, transform, bigtiff, tmp_path):
    source = place(tmp_path / "a.tif", crs=crs, transform=transform, BIGTIFF=bigtiff, tiled=True, compress="deflate")
    with rasterio.open(written(tmp_path / "out", source)) as found, rasterio.open(source) as image:
        assert found.crs == image.crs
        assert found.crs.to_epsg() == int(crs.removeprefix("EPSG:"))
        assert found.transform.almost_equals(image.transform)
        assert found.bounds == image.bounds
        assert (found.count, found.dtypes, found.nodata) == (1, ("uint8",), 255)
        values = found.read(1)
        np.testing.assert_array_equal(np.where(values == 255, -1, values.astype(int)), LABELS)
        np.testing.assert_array_equal(found.dataset_mask() > 0, LABELS >= 0)
        assert found.colormap(1)[2][:3] == WORDS.palette[2]


def test_ground_control_points_and_rpcs_are_kept(tmp_path):
    points = [
        rasterio.control.GroundControlPoint(row, column, 10 + column, 50 - row)
        for row, column in ((0, 0), (0, 60), (40, 0), (40, 60))
    ]
    source = place(tmp_path / "a.tif", gcps=points, crs="EPSG:4326")
    with rasterio.open(written(tmp_path / "out", source)) as found:
        kept, crs = found.gcps
        assert [(p.row, p.col, p.x, p.y) for p in kept] == [(p.row, p.col, p.x, p.y) for p in points]
        assert crs.to_epsg() == 4326


def test_many_classes_take_16_bits(tmp_path):
    source = place(tmp_path / "a.tif", crs="EPSG:32633", transform=AFFINE)
    for classes, kind, nodata in ((255, "uint8", 255), (256, "uint16", 65535), (700, "uint16", 65535)):
        labels = np.where(LABELS == 4, classes - 1, LABELS)
        words = Vocabulary.from_classes([f"class {i}" for i in range(classes)])
        with rasterio.open(written(tmp_path / str(classes), source, words, labels)) as found:
            assert (found.dtypes, found.nodata) == ((kind,), nodata)
            values = found.read(1).astype(int)
            np.testing.assert_array_equal(np.where(values == nodata, -1, values), labels)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_other_images_have_no_place(records, tmp_path):
    for record in records:
        GeoTiffFormat().write(tmp_path, record)
        with rasterio.open(tmp_path / f"{record.name}.labels.tif") as found:
            assert found.crs is None
            assert found.transform.is_identity
            np.testing.assert_array_equal(found.read(1), np.where(record.labels < 0, 255, record.labels))


def test_an_image_of_another_size_or_turned_is_refused(tmp_path):
    source = place(tmp_path / "a.tif", crs="EPSG:32633", transform=AFFINE)
    with pytest.raises(ImageError, match="stored turned, or of another size"):
        written(tmp_path / "out", source, labels=LABELS[:20])
    assert not list(tmp_path.glob("out/**/*.tif"))


def test_a_damaged_image_is_refused(tmp_path):
    source = place(tmp_path / "a.tif", crs="EPSG:32633", transform=AFFINE)
    source.write_bytes(source.read_bytes()[:6])
    with pytest.raises(ImageError, match=r"georeference of .* cannot be read"):
        written(tmp_path / "out", source)
