"""Detectors over small models of transformers with random weights, against transformers' own post-processing."""

import json

import numpy as np
import pytest
import torch

from densevl.detectors.detector import best_regions
from densevl.errors import WeightsError
from densevl.registry import DETECTORS, build

transformers = pytest.importorskip("transformers")

IMAGE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)


def owlv2(folder):
    """A folder with a small OWLv2 of random weights and its processor."""
    words = [
        "!",  # the model takes id 0 for padding
        "<|startoftext|>",
        "<|endoftext|>",
        *"abcdefghijklmnopqrstuvwxyz",
        *(f"{c}</w>" for c in "abcdefghijklmnopqrstuvwxyz"),
    ]
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = transformers.CLIPTokenizer(
        str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=16, pad_token="!"
    )
    processor = transformers.Owlv2Processor(
        transformers.Owlv2ImageProcessor(size={"height": 64, "width": 64}), tokenizer
    )
    tower = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.Owlv2Config(
        text_config={
            **tower,
            "vocab_size": len(words),
            "max_position_embeddings": 16,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "pad_token_id": 0,
        },
        vision_config={**tower, "image_size": 64, "patch_size": 16},
        projection_dim=32,
    )
    torch.manual_seed(0)
    model = transformers.Owlv2ForObjectDetection(config).eval()
    with torch.no_grad():  # so that boxes are not all as large as the image
        for parameter in model.box_head.parameters():
            parameter.mul_(0.3)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return model, processor


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("owlv2")


@pytest.fixture(scope="module")
def reference(folder):
    return owlv2(folder)


def test_owlv2_gives_the_boxes_of_transformers(folder, reference):
    model, processor = reference
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
