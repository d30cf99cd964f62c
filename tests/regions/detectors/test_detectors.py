"""Detectors over small models of transformers with random weights, against transformers' own post-processing."""

import numpy as np
import pytest
import torch
from torchvision.ops import box_iou

from densevl.core.errors import WeightsError
from densevl.core.registry import build
from densevl.regions.detectors import DETECTORS
from densevl.regions.detectors.detector import best_regions, find_one_by_one, named_regions

transformers = pytest.importorskip("transformers")

IMAGE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)


def test_owlv2_gives_the_boxes_of_transformers(tiny_owlv2):
    folder, model, processor = tiny_owlv2
    detector = build(DETECTORS, {"type": "owlv2", "weights": str(folder), "offline": True})
    found = detector.detect(IMAGE, "red dog", top=4)
    inputs = processor(text=[["red dog"]], images=IMAGE, return_tensors="pt")
    with torch.no_grad():
        outputs = model(**inputs)
    answer = processor.post_process_grounded_object_detection(outputs, threshold=-1.0, target_sizes=[IMAGE.shape[:2]])[
        0
    ]
    assert 1 <= len(found) <= 4
    limits = torch.tensor([64.0, 48, 64, 48])
    expected = answer["boxes"].clamp(min=0).minimum(limits)
    for box, score in zip(found.boxes, found.scores, strict=True):
        distance = torch.cat([expected - box, 1e3 * (answer["scores"] - score)[:, None]], dim=1).abs().amax(1)
        assert distance.min() < 0.01
    assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)
    assert len(detector.detect(IMAGE, "a very long text " * 40)) >= 1


def test_grounding_dino_gives_the_boxes_of_transformers(tmp_path):
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "red", "dog", "a"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    tokenizer = transformers.BertTokenizer(str(tmp_path / "vocab.txt"))
    image_processor = transformers.GroundingDinoImageProcessor(size={"shortest_edge": 64, "longest_edge": 96})
    processor = transformers.GroundingDinoProcessor(image_processor, tokenizer)
    config = transformers.GroundingDinoConfig(
        backbone_config=transformers.SwinConfig(
            image_size=64,
            embed_dim=16,
            depths=[1, 1, 1],
            num_heads=[1, 2, 4],
            window_size=4,
            out_features=["stage1", "stage2", "stage3"],
        ),
        text_config={
            "model_type": "bert",
            "vocab_size": len(words),
            "hidden_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 32,
        },
        num_queries=20,
        encoder_layers=1,
        decoder_layers=2,
        d_model=32,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        num_feature_levels=3,
        max_text_len=16,
    )
    torch.manual_seed(0)
    model = transformers.GroundingDinoForObjectDetection(config).eval()
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    detector = build(DETECTORS, {"type": "grounding-dino", "weights": str(tmp_path), "offline": True})
    found = detector.detect(IMAGE, "Red dog", top=3)
    inputs = processor(text="red dog.", images=IMAGE, return_tensors="pt")
    with torch.no_grad():
        outputs = model(**inputs)
    answer = processor.post_process_grounded_object_detection(
        outputs, inputs["input_ids"], threshold=-1.0, text_threshold=0.9, target_sizes=[IMAGE.shape[:2]]
    )[0]
    limits = torch.tensor([64.0, 48, 64, 48])
    expected = answer["boxes"].clamp(min=0).minimum(limits)
    assert 1 <= len(found) <= 3
    for box, score in zip(found.boxes, found.scores, strict=True):
        distance = torch.cat([expected - box, 1e3 * (answer["scores"] - score)[:, None]], dim=1).abs().amax(1)
        assert distance.min() < 0.01


def test_what_cannot_be_loaded_says_what_to_fetch(tmp_path):
    with pytest.raises(WeightsError, match=r"fetch config.json.*owlv2-base"):
        build(DETECTORS, {"type": "owlv2", "weights": str(tmp_path), "offline": True})


def test_boxes_are_cut_made_one_and_ordered():
    boxes = torch.tensor(
        [[0.5, 0.5, 0.5, 0.5], [0.5, 0.5, 0.52, 0.5], [0.0, 0.0, 0.2, 0.2], [3.0, 3.0, 0.1, 0.1], [0.9, 0.9, 0.1, 0.1]]
    )
    scores = torch.tensor([0.5, 0.6, 0.9, 1.0, float("nan")])
    found = best_regions(boxes, scores, (80.0, 80.0), (60, 80), top=5)
    torch.testing.assert_close(found.boxes, torch.tensor([[0.0, 0, 8, 8], [19.2, 20, 60.8, 60]]))
    torch.testing.assert_close(found.scores, torch.tensor([0.9, 0.6]))


TEXTS = [["red dog", "a cat", "tree"], [], ["cat"]]
IMAGES = [IMAGE, IMAGE, np.ascontiguousarray(IMAGE[:40, :30])]


def test_each_box_has_the_text_that_suits_it_best(tiny_owlv2):
    folder, model, processor = tiny_owlv2
    detector = build(DETECTORS, {"type": "owlv2", "weights": str(folder), "offline": True})
    found = detector.find(IMAGES, TEXTS, threshold=0.5)
    assert [len(one.names) for one in found][1] == 0
    for image, texts, one in zip(IMAGES, TEXTS, found, strict=True):
        if not texts:
            continue
        inputs = processor(text=[texts], images=image, return_tensors="pt")
        with torch.no_grad():
            outputs = model(**inputs)
        answer = processor.post_process_grounded_object_detection(
            outputs, threshold=0.5, target_sizes=[image.shape[:2]]
        )[0]
        limits = torch.tensor([image.shape[1], image.shape[0]] * 2)
        expected = answer["boxes"].clamp(min=0).minimum(limits)
        assert len(one.names) >= 1
        for box, score, name in zip(one.regions.boxes, one.regions.scores, one.names, strict=True):
            near = (expected - box).abs().amax(1) + 1e3 * (answer["scores"] - score).abs()
            assert near.min() < 0.01
            assert int(answer["labels"][near.argmin()]) == name
        # What was left out overlaps a better box of the same text.
        overlap = box_iou(expected, one.regions.boxes) > 0.7 - 1e-4
        same = answer["labels"][:, None] == torch.tensor(one.names)
        usable = (expected[:, 2:] - expected[:, :2] >= 1).all(1)
        assert (overlap & same).any(1)[usable].all()


def test_images_together_are_images_one_by_one(tiny_owlv2):
    detector = build(DETECTORS, {"type": "owlv2", "weights": str(tiny_owlv2[0]), "offline": True, "size": 96})
    together = detector.find(IMAGES, TEXTS, 0.5)
    for image, texts, one in zip(IMAGES, TEXTS, together, strict=True):
        alone = detector.find([image], [texts], 0.5)[0]
        assert alone.names == one.names
        torch.testing.assert_close(alone.regions.boxes, one.regions.boxes, atol=1e-3, rtol=0)


def test_the_size_decides_how_many_boxes_there_are(tiny_owlv2):
    folder, model, processor = tiny_owlv2
    detector = build(DETECTORS, {"type": "owlv2", "weights": str(folder), "offline": True, "size": 96})
    boxes, _ = detector._predict([IMAGE], [["tree"]])
    assert boxes.shape == (1, 36, 4)
    plain = build(DETECTORS, {"type": "owlv2", "weights": str(folder), "offline": True, "size": 64})
    inputs = processor(text=[["tree"]], images=IMAGE, return_tensors="pt")
    with torch.no_grad():
        expected = model(**inputs)
    same, _ = plain._predict([IMAGE], [["tree"]])
    torch.testing.assert_close(same, expected.pred_boxes, atol=1e-5, rtol=0)


def test_a_detector_that_knows_one_text_at_a_time_finds_several(tiny_owlv2):
    detector = build(DETECTORS, {"type": "owlv2", "weights": str(tiny_owlv2[0]), "offline": True})
    found = find_one_by_one(detector, IMAGES, TEXTS, 0.5)
    for image, texts, one in zip(IMAGES, TEXTS, found, strict=True):
        expected = sum(int((detector.detect(image, text, 100).scores > 0.5).sum()) for text in texts)
        assert len(one.regions) == len(one.names) == expected


def test_boxes_of_different_texts_may_be_the_same():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 10], [-5, -5, 0.5, 9], [20, 20, 90, 90]])
    scores = torch.tensor([0.5, 0.9, 0.8, 0.7, 0.1])
    found = named_regions(boxes, scores, torch.tensor([0, 0, 1, 0, 0]), (40, 50), 0.1)
    assert found.names == (0, 1)
    torch.testing.assert_close(found.regions.scores, torch.tensor([0.9, 0.8]))
