"""Label maps of held-out scenes by the mini model in each dtype: what computing faster costs."""

from densevl.api.dtypes import choose_dtype, place
from densevl.benchmarks.segmentation.datasets import ScenesDataset
from densevl.benchmarks.speed.runs import configured_segmentor
from densevl.benchmarks.tables.dinoiser import REFINED, Row, count
from densevl.metrics.confusion import scores_of
from densevl.metrics.table import Table

__all__ = ["dtypes_table"]

COMPARED = ("float32", "bfloat16", "int8")


def dtypes_table(scenes: int) -> Table:
    """Measure the table.

    Args:
        scenes: number of held-out scenes, those of ``configs/scenes.py``.
    """
    dataset = ScenesDataset(length=scenes)
    rows = []
    for name in COMPARED:
        segmentor = configured_segmentor(REFINED)
        place(segmentor, segmentor.device, choose_dtype(name, segmentor.device))
        rows.append(Row(segmentor.protocol["dtype"], segmentor))
    scores = [
        scores_of(matrix, dataset.vocabulary.names, dataset.metainfo["groups"]) for matrix in count(rows, dataset)
    ]
    figures = [
        (row.name, (score.mean_iou, *score.group_iou().values())) for row, score in zip(rows, scores, strict=True)
    ]
    note = f"{scenes} held-out scenes, {rows[0].segmentor.encoder.model_id} with the heads of CLIP-DINOiser"
    return Table((f"mIoU of {len(dataset.vocabulary)} classes", "all", *scores[0].groups), figures, note)
