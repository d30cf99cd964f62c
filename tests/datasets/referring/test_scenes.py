from collections import Counter

import pytest

from densevl.benchmarks.run import evaluate
from densevl.core.errors import UsageError
from densevl.core.masks import decode_masks
from densevl.datasets.referring.scenes import ReferringScenes, drawn_expressions
from densevl.datasets.scenes import expressions, render


@pytest.fixture(scope="module")
def scenes():
    return ReferringScenes(length=5, size=96)


def test_a_sample_is_a_scene_with_its_true_boxes_and_masks(scenes):
    sample = scenes[0]["data_samples"]
    scene = render(1, scenes.images[0].image_id, size=96, split="val")
    assert scenes[0]["inputs"].shape == (3, 96, 96)
    assert sample.boxes == tuple(tuple(map(float, item.box)) for item in scene.objects)
    for ref in sample.refs:
        assert ref.box == sample.boxes[ref.ann_id]
        assert (decode_masks([ref.mask], (96, 96))[0].numpy() == scene.objects[ref.ann_id].mask).all()
        held = {(e.text, e.target, e.kind) for e in expressions(scene)}
        assert {(text, ref.ann_id, ref.kind) for text in ref.sentences} <= held


def test_few_of_each_kind_drawn_from_the_seed():
    scene = next(s for s in (render(1, i, size=96, split="val") for i in range(9)) if len(expressions(s)) > 20)
    few = drawn_expressions(scene, 2, (1, 4))
    assert few == drawn_expressions(scene, 2, (1, 4)) != drawn_expressions(scene, 2, (1, 5))
    counts, whole = Counter(e.kind for e in few), Counter(e.kind for e in expressions(scene))
    assert counts == {kind: min(2, count) for kind, count in whole.items()}
    assert drawn_expressions(scene, None, (1, 4)) == list(expressions(scene))


def test_scenes_have_no_file_of_detections():
    with pytest.raises(UsageError, match=r"proposals 'detections' are not to be had of scenes; did you mean detector"):
        ReferringScenes(length=1, proposals="detections")


def test_by_the_kind_of_expression(tmp_path):
    crop = {"type": "marked-images", "encoder": {"type": "clip", "weights": "mini-clip"}, "visual_prompts": ["crop"]}
    options = {
        "model.model": {"embedders": [crop], "negatives": None, "_delete_": True},
        "test_dataloader.dataset.length": 6,
    }
    report = evaluate("fgvp_refer_scenes", work_dir=tmp_path, options=options)
    assert {"attribute", "relation"} <= set(report.scores.kinds())
    text = str(report)
    assert "relation      Acc@0.5" in text
    assert "6 of seed 1" in text
    assert report.expected is None
    assert report.scores.recall() == 100


def test_expressions_of_nearness():
    near = ReferringScenes(length=4, size=96, language="nearness")
    assert {ref.kind for image in near.images for ref in image.refs} == {"nearness"}
    assert near.title == "scenes, nearness"
    with pytest.raises(UsageError, match=r"language 'near' is unknown; did you mean nearness"):
        ReferringScenes(length=1, language="near")
