"""Formats of results: what ``densevl segment --save`` chooses. A format is a file here and a row below."""

from densevl.core.registry import Registry

__all__ = ["DEFAULT", "FORMATS", "MANY", "usual_formats"]

_HERE = "densevl.api.jobs.formats"

FORMATS = Registry(
    "format",
    {
        "overlay": f"{_HERE}.overlay:OverlayFormat",
        "labels": f"{_HERE}.labels:LabelsFormat",
        "probabilities": f"{_HERE}.probabilities:ProbabilitiesFormat",
        "geotiff": f"{_HERE}.geotiff:GeoTiffFormat",
        "coco": f"{_HERE}.coco:CocoFormat",
        "polygons": (f"{_HERE}.coco:CocoFormat", {"polygons": True}),
        "coco-panoptic": f"{_HERE}.coco_panoptic:CocoPanopticFormat",
        "yolo-seg": f"{_HERE}.yolo_seg:YoloSegFormat",
        "labelme": f"{_HERE}.labelme:LabelMeFormat",
        "labelme-embedded": (f"{_HERE}.labelme:LabelMeFormat", {"embed": True}),
        "label-studio": f"{_HERE}.label_studio:LabelStudioFormat",
        "cvat": f"{_HERE}.cvat:CvatFormat",
        "html": f"{_HERE}.html:HtmlFormat",
    },
)

DEFAULT = ("overlay", "labels", "coco")
"""Formats that are written where none is named."""

MANY = 100
"""Images up to which overlays are among them: nobody looks at more, and drawing is most of the work of writing."""


def usual_formats(images: int) -> tuple[str, ...]:
    """The formats that are written of so many images where none is named."""
    return DEFAULT if images <= MANY else tuple(name for name in DEFAULT if name != "overlay")
