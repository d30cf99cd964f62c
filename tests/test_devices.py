"""Inference on a device other than the CPU: nothing stays behind, and the results are the same.

The pretended device (see ``toys/pretend_device.py``) has values, so that what depends on them, such as labelling or the
search for everything, runs to its end, and each result is compared with that of the CPU.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from open_clip import CustomTextCLIP
from torch import Tensor, nn
from toys import timm_towers
from toys.pretend_device import Away, pretended_device, waits
from toys.readouts import SPLICED, asked, fitted
from toys.region_models import ALPHA, grain_encoder_of, save_alpha
from toys.sam2 import tiny_sam2
from toys.timm_towers import KINDS

import densevl
from densevl.api.jobs.compare import compare
from densevl.classifiers import CLASSIFIERS
from densevl.classifiers.contracts import Examples
from densevl.classifiers.floss import FLOSS
from densevl.classifiers.gaussian import gaussian_weights, new_class_weights
from densevl.classifiers.gda import GDA
from densevl.classifiers.templates import TemplateEntropies
from densevl.core.features import DenseFeatures, TextEmbeddings
from densevl.core.regions import Regions
from densevl.core.registry import build
from densevl.core.vocabulary import Vocabulary, templates
from densevl.datasets.scenes.scene import render
from densevl.dense.encoder import DenseEncoder, read_dense
from densevl.dense.guides import GUIDES
from densevl.dense.guides.sam import Sam2Guide
from densevl.dense.guides.vit import ViTGuide as ViTDescriber
from densevl.dense.readouts import READOUTS
from densevl.dense.refiners import REFINERS
from densevl.dense.refiners.found import FoundDecoder
from densevl.dense.refiners.guide_keys import GuideKeys
from densevl.dense.refiners.teachers import Teachers
from densevl.dense.refiners.walk import WalkTeacher
from densevl.dense.stages import STAGES
from densevl.encoders.clip import CLIPEncoder
from densevl.encoders.contracts import BORDERS, NOTHING, POSITIONS, Needs
from densevl.encoders.dino import DINOEncoder, build_dino_model
from densevl.encoders.loading import build_clip, build_whole_clip
from densevl.encoders.mini import mini_tokenizer
from densevl.encoders.sam3 import build_sam3
from densevl.encoders.texts.cache import TextCache
from densevl.metrics.choices import choose
from densevl.metrics.confusion import confusion_matrix, scores_of
from densevl.metrics.retrieval import retrieval_recalls
from densevl.regions.detectors import DETECTORS
from densevl.regions.detectors.named_proposals import build_mini_detector
from densevl.regions.embedders import REGION_EMBEDDERS
from densevl.regions.embedders.alpha_clip import AlphaRegions
from densevl.regions.embedders.grain import GrainRegions
from densevl.regions.embedders.marked_images import MarkedImages
from densevl.regions.embedders.mask_pooling import MaskPooling
from densevl.regions.embedders.prompted import PromptedRegions
from densevl.regions.embedders.roi_pooling import RoIPooling
from densevl.regions.embedders.text_region import TextRegion
from densevl.regions.mask_makers.cache import CachedMasks
from densevl.regions.mask_makers.grabcut import GrabCut
from densevl.regions.mask_makers.sam import build_sam
from densevl.regions.visual_prompts import VISUAL_PROMPTS, draw
from densevl.tasks.search import RegionIndex
from densevl.tasks.segmentation.painting import OVERLAPS
from densevl.tasks.segmentation.region_segmentor import UNCOVERED, RegionSegmentor
from densevl.tasks.segmentation.sam3_segmentor import Sam3Segmentor
from densevl.tasks.segmentation.segmentor import Segmentor

Where = torch.device
CPU = torch.device("cpu")
CLASSES = Vocabulary.parse("red circle|red disc, blue square, green triangle")
SCENE = render(3, 1, (64, 96), count=(3, 4))
BATCH = torch.from_numpy(SCENE.image).permute(2, 0, 1)[None].float() / 255
FEW_POINTS = {"points_per_side": 5, "predicted_iou": 0.6, "stability": 0.7}
BACKGROUNDS = ("none", "literal", "words:sky,grass", "threshold:0.6", "head:0.95", "contrast:scenes")


def tensors(value: Any, path: str = "") -> Iterator[tuple[str, Tensor]]:
    """All tensors in a result, with the path to each."""
    if isinstance(value, Tensor):
        yield path, value
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from tensors(getattr(value, field.name), f"{path}.{field.name}")
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from tensors(inner, f"{path}[{key!r}]")
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from tensors(inner, f"{path}[{index}]")


def check(case: Callable[[Where], Any], stays: bool = True, tolerance: float = 1e-3) -> None:
    """Run a computation on the CPU and on the pretended device, and compare what comes out.

    Args:
        case: from a device to its result, which holds tensors anywhere.
        stays: whether all tensors of the result lie on the device, or all of them on the CPU.
        tolerance: of numbers, as a fraction of the largest; of whole numbers, as a fraction of their count.
    """
    expected = dict(tensors(case(CPU)))
    with pretended_device() as device:
        found = dict(tensors(case(device)))
        assert found, "the result holds no tensor"
        assert found.keys() == expected.keys()
        for path, value in found.items():
            assert isinstance(value, Away) == stays, f"result{path} lies on {'the CPU' if stays else 'the device'}"
        found = {path: value.cpu() for path, value in found.items()}
    for path, value in found.items():
        assert (value.shape, value.dtype) == (expected[path].shape, expected[path].dtype), path
        if value.is_floating_point():
            largest = max(expected[path].abs().nan_to_num(0, 0, 0).flatten().tolist(), default=0.0)
            torch.testing.assert_close(value, expected[path], rtol=tolerance, atol=tolerance * largest, msg=path)
        else:
            assert (value != expected[path]).sum() <= tolerance * value.numel(), path


@cache
def clip(device: Where) -> CLIPEncoder:
    return build_clip("mini-clip").to(device)


@cache
def timm_clip(device: Where) -> CLIPEncoder:
    """A CLIP whose image tower is one of timm that pools by attention."""
    torch.manual_seed(0)
    tokenizer = mini_tokenizer()
    trunk = "vit_base_patch16_siglip_224"
    vision = {"image_size": 32, "timm_model_name": trunk, "timm_pool": "map", "timm_proj": "none"}
    text = {"context_length": 24, "vocab_size": tokenizer.vocab_size, "width": 32, "heads": 2, "layers": 1}
    model = CustomTextCLIP(768, vision, text).eval()
    model.visual.trunk.blocks = model.visual.trunk.blocks[:2]
    return CLIPEncoder(model, tokenizer, "timm@1").to(device)


@cache
def alpha_clip(device: Where) -> CLIPEncoder:
    with TemporaryDirectory() as folder:
        path, base = save_alpha(Path(folder))
        return build_clip(path, ALPHA, base=base, text_cache=False).to(device)


@cache
def grain(device: Where) -> CLIPEncoder:
    with TemporaryDirectory() as folder:
        return grain_encoder_of(Path(folder)).to(device)


@cache
def vit(device: Where) -> DINOEncoder:
    torch.manual_seed(0)
    arguments = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2}
    return DINOEncoder(build_dino_model(arguments).eval(), "vit").to(device)


@cache
def mini(device: Where, name: str = "mini", **changes: Any) -> densevl.Model:
    return densevl.load(name, device=device, **changes)


def regions(device: Where = CPU, masks: bool = True) -> Regions:
    """The objects of the scene."""
    numbers = range(1, len(SCENE.objects) + 1)
    found = Regions.from_masks(torch.stack([torch.from_numpy(SCENE.instances == i) for i in numbers]))
    return (found if masks else found.with_masks(None)).to(device)


# Encoders ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("positions", "border"), zip(POSITIONS, 2 * BORDERS, strict=True))
@pytest.mark.parametrize("encoder", [clip, timm_clip])
def test_the_last_block_and_what_is_read_of_it(encoder, positions, border):
    def case(device):
        images = BATCH[..., :60, :90].to(device)
        maps = ("blocks.0", "blocks.-2.ln_2")
        needs = Needs(
            maps if encoder is clip else maps[:1],
            images=True,
            guide=lambda some: DenseFeatures(vit(device).project(some, "key"), 8, "vit"),
        )
        last = encoder(device).last_block(images, needs, positions=positions, border=border)
        return last.tokens, last.maps, last.images, last.guide, last.keys(), encoder(device).to_joint(last.tokens)

    check(case)


@pytest.mark.parametrize("mode", ["crop", "squash"])
@pytest.mark.parametrize("encoder", [clip, timm_clip, lambda device: build_whole_clip("mini-clip").to(device)])
def test_whole_images(encoder, mode):
    check(lambda device: encoder(device).embed_images(BATCH.to(device), mode))


@pytest.mark.parametrize("kind", KINDS)
def test_towers_of_every_kind(kind):
    """Tables of positions, in which a tower may keep tensors of its own, follow it."""
    made = timm_towers.timm_clip(kind)

    def case(device):
        encoder, images = deepcopy(made).to(device), BATCH[:1, :, :60, :90].to(device)
        last = encoder.last_block(images)
        return last.tokens, last.output(), encoder.to_joint(last.tokens), encoder.embed_images(images)

    check(case)


def test_tokens_maps_and_pooled_images():
    def case(device):
        encoder, images = clip(device), BATCH.to(device)
        return encoder.tokens(images), encoder.maps(images, ["blocks.0.ln_1"]), encoder.forward_images(images)

    check(case)


@pytest.mark.parametrize("part", ["query", "key", "value"])
def test_dino(part):
    check(lambda device: vit(device).project(BATCH.to(device), part))


def test_texts(tmp_path):
    texts, templates = ["a red circle", "a square"], ["{}", "a {}."]
    check(lambda device: (clip(device).embed_texts(texts, templates), clip(device).forward_texts(texts)))

    def cached(device, folder):
        encoder = build_clip("mini-clip").to(device)
        encoder.text_cache = TextCache(tmp_path / folder)
        return encoder.embed_texts(texts, templates)

    check(lambda device: cached(device, device.type))
    check(lambda device: cached(device, "cpu"))
    assert {folder.name: len([*folder.iterdir()]) for folder in tmp_path.iterdir()} == {"cpu": 1, "meta": 1}


GUIDED: dict[str, Callable[[], Any]] = {
    "dino": lambda: ViTDescriber(vit(CPU).model, "vit", "query+key"),
    "sam": lambda: build(GUIDES, {"type": "sam", "weights": "mini-sam"}),
    "sam2": lambda: Sam2Guide(tiny_sam2(), "tiny"),
}


def test_every_guide_is_tried():
    assert {"dinov2", "dinov3"} == set(GUIDES.rows) - set(GUIDED), "these two are the class of dino"


@pytest.mark.parametrize("guide", GUIDED)
def test_guides(guide):
    check(lambda device: deepcopy(GUIDED[guide]()).to(device)(BATCH[..., :60].to(device)))


# Dense features ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keys", [True, False])
@pytest.mark.parametrize("readout", sorted(READOUTS.rows))
@pytest.mark.parametrize("encoder", [clip, timm_clip])
def test_readouts(encoder, readout, keys):
    if readout in ("cliptrase", "corrclip", "sc-clip", "sfp") and encoder is timm_clip:
        pytest.skip("it has no class token")

    def case(device):
        made, images = encoder(device), BATCH.to(device)
        dense = DenseEncoder(made, fitted(readout)).to(device)
        return dense(images, keys and readout not in SPLICED, **asked(dense, images))

    check(case)


def test_windows_that_are_read_together():
    def case(device):
        made = segmentor(device, readout="radseg", average="logits", **WINDOWS["windows"])
        return labelled(made, made.embed(CLASSES))

    check(case)


def teachers(device: Where, **settings: Any) -> Teachers:
    torch.manual_seed(1)
    return Teachers(vit(device), decoder=FoundDecoder(32), **settings).to(device)


class ViTGuide(nn.Module):
    """A guide by a small ViT."""

    name = "vit"

    def __init__(self, encoder: DINOEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, images: Tensor) -> DenseFeatures:
        return DenseFeatures(self.encoder.project(images, "value"), self.encoder.patch_size, self.name)


REFINED: dict[str, Callable[[Where], Any]] = {
    "dinoiser": lambda device: {"type": "dinoiser", "weights": "mini-dinoiser"},
    "dinoiser on sub-patches": lambda device: (
        {"type": "dinoiser", "weights": "mini-dinoiser", "gamma": 0.6, "radius": 2.9, "rounds": 8, "sub_patch": 2}
    ),
    "finer": lambda device: {"type": "finer", "side": 4, "maps": ["blocks.0", "blocks.1"]},
    "guide-keys": lambda device: GuideKeys(ViTGuide(vit(device))),
    "teachers": teachers,
    "teachers by keys": lambda device: teachers(device, part="key", foreground_encoder=vit(device)),
    "walk": lambda device: WalkTeacher(),
    "walk on colours of sub-patches": lambda device: WalkTeacher(colour=0.1, marks=32, sub_patch=4, radius=2.5),
}


def test_every_refiner_is_tried():
    assert {name.partition(" ")[0] for name in REFINED} == set(REFINERS.rows)


@pytest.mark.parametrize("refiner", REFINED)
def test_refiners(refiner):
    def case(device):
        made = DenseEncoder(clip(device), "maskclip", [REFINED[refiner](device)]).to(device)
        return made(BATCH[..., :60, :90].to(device), keys=True)

    check(case)


@pytest.mark.parametrize("made", [teachers, lambda device: WalkTeacher(clip(device), colour=0.1)])
def test_targets(made):
    check(lambda device: made(device).targets(BATCH.to(device), 8))


class Forgetful:
    """A readout that forgets the device where it makes a tensor."""

    needs, name = NOTHING, "forgetful"

    def __call__(self, last):
        return last.on_grid(last.tokens) + torch.zeros(1)


def test_a_forgotten_device_is_found():
    encoder = clip(CPU)
    read_dense(encoder, BATCH, Forgetful())
    with pytest.raises(RuntimeError, match="two devices"):
        check(lambda device: read_dense(clip(device), BATCH.to(device), Forgetful()))
    with pytest.raises(RuntimeError, match="two devices"):
        check(lambda device: clip(device).tokens(BATCH))
    with pytest.raises(AssertionError, match="lies on the CPU"):
        check(lambda device: clip(device).tokens(BATCH.to(device)).cpu())


# Segmentation -----------------------------------------------------------------------------------------------------


def segmentor(device: Where, **settings: Any) -> Segmentor:
    given = {"templates": "none", "short_side": 64, "temperature": 23.35, **settings}
    return Segmentor(clip(device), **given).to(device)


def labelled(made: Segmentor, classes: Any) -> Any:
    """Probabilities, scores and labels of the scene."""
    (image,) = made.encode([SCENE.image])
    return made.probabilities(image, classes), made.scores(image, classes), made.label(image, classes)


def gda(made: Segmentor, where: Where) -> Any:
    """A classifier of examples that lie on a device."""
    draw = torch.Generator().manual_seed(0)
    vectors, labels = torch.randn(12, made.encoder.dim, generator=draw), torch.arange(12) % 3
    texts = made.embed(CLASSES)
    examples = Examples(F.normalize(vectors, dim=1).to(where), labels, texts.model_id, made.space)
    return GDA().fit(texts, examples, made.temperature)


WINDOWS = {
    "whole": {"window": None},
    "windows": {"window": 32, "stride": 16},
    "odd": {"window": 36, "stride": 20},
}


@pytest.mark.parametrize("screen", [None, {"side": 28, "part": 0.5}])
def test_sam3(tiny_sam3, screen):
    def case(device):
        made = Sam3Segmentor(build_sam3(tiny_sam3), screen=screen, margin=screen is not None).to(device)
        texts = made.embed(CLASSES, "threshold:0.2")
        (image,) = made.encode([SCENE.image])
        return made.scores(image, texts), made.label(image, texts)

    check(case)


@pytest.mark.parametrize(("background", "window"), zip(BACKGROUNDS, [*WINDOWS, *WINDOWS], strict=False))
def test_backgrounds(background, window):
    def case(device):
        made = segmentor(device, refiners=[{"type": "dinoiser", "weights": "mini-dinoiser"}], **WINDOWS[window])
        texts = made.embed(CLASSES, background)
        return texts, labelled(made, texts)

    check(case)


SMOOTHED = {
    "prompt-denoising": [{"type": "prompt-denoising", "threshold": 0.4}],
    "key-smoothing": ["prompt-denoising", {"type": "key-smoothing", "threshold": 0.9}],
    "key-smoothing, legacy": [{"type": "key-smoothing", "legacy": True, "threshold": 0.9}],
    "appearance": ["appearance"],
    "lposs": [{"type": "lposs", "neighbours": 20}],
    "lposs-pixels": [{"type": "lposs-pixels", "reach": 2, "short_side": 40}],
    "mask-vote": ["mask-vote"],
    "sam-prompts": [{"type": "sam-prompts", "weights": "mini-sam", "area": 20, "iou": 0.3}],
    "min-area": [{"type": "min-area", "area": 0.2}],
    "pamr": [{"type": "pamr", "steps": 2, "dilations": (2, 4)}],
    "cass-texts": [{"type": "cass-texts", "height": 0.5}],
    "tlp": [{"type": "tlp", "grid": 20, "steps": 3}],
    "min-max": ["min-max"],
    "redundancy": ["redundancy"],
    "class-scores": ["class-scores", "cluster-vote"],
    "cluster-vote": ["cluster-vote"],
    "freecp": [{"type": "freecp", "redundant": 0.05, "ambiguous": 0.3}],
    "alias-weights": ["alias-weights"],
    "talk2dino-cleaning": ["talk2dino-cleaning"],
}
READ = {
    "cass-texts": "cass",
    "redundancy": "clip-surgery",
    "class-scores": "cliptrase",
    "cluster-vote": "cliptrase",
    "talk2dino-cleaning": {"type": "plain", "attention": True},
}
"""Readouts that stages want."""
OF_COSINES = ("tlp",)
"""Stages of the cosines of queries, which are averaged."""


def test_every_smoothing_is_tried():
    assert {name.partition(",")[0] for name in SMOOTHED} == set(STAGES.rows)


@pytest.mark.parametrize("smoothing", SMOOTHED)
def test_smoothings(smoothing):
    average = "logits" if smoothing in OF_COSINES else "probabilities"
    settings = {"stages": SMOOTHED[smoothing], "border": "drop", "average": average, **WINDOWS["odd"]}
    readout = READ.get(smoothing, "maskclip")
    settings["readout"] = fitted(readout) if isinstance(readout, str) else readout
    settings |= {"mask_maker": build_sam(automatic=FEW_POINTS)} if smoothing == "mask-vote" else {}

    def case(device):
        made = segmentor(device, **settings)
        return labelled(made, made.embed(CLASSES))

    check(case)


@pytest.mark.parametrize("classes", ["text", "gda"])
def test_averages_of_logits(classes):
    def case(device):
        made = segmentor(device, average="logits", stages=SMOOTHED["pamr"], **WINDOWS["windows"])
        texts = made.embed(CLASSES) if classes == "text" else gda(made, device)
        (one,) = made.encode_resized([BATCH[0]], [(50, 70)])
        (bytes_,) = made.encode_resized([(255 * BATCH[0]).byte().to(device)], [(50, 70)])
        return [(made.scores(image, texts), made.label(image, texts)) for image in (one, bytes_)]

    check(case)


@pytest.mark.parametrize("near", [True, False])
def test_classifiers_of_examples(near):
    """The examples may lie on the device, or still on the CPU."""

    def case(device):
        made = segmentor(device)
        return labelled(made, gda(made, device if near else CPU))

    check(case)


FEW_SHOT: dict[str, Any] = {
    "caps-adapter": {"alpha": 1.0, "beta": 5.0, "gamma": 1.0, "delta": 0.5},
    "cooked": {},
    "gda-prior": {},
    "gda-prior-tuned": {},
    "gda-stacked": {},
    "linear-probe": {"strength": 1.0},
    "nearest": {},
    "neighbours": {"count": 3},
    "nmtune": {"epochs": 2},
    "tip-adapter": {"alpha": 1.0, "beta": 5.0},
    "tip-adapter-f": {"alpha": 1.0, "beta": 5.0, "epochs": 2},
    "tip-x": {},
}


def test_every_method_of_examples_is_tried():
    assert set(CLASSIFIERS.rows) - set(FEW_SHOT) <= {"closed-set", "floss", "gda", "text"}, (
        "these have tests of their own"
    )


def test_experts_of_templates():
    names, draw = templates("tcl"), torch.Generator().manual_seed(0)
    each, asked = (F.normalize(torch.randn(*shape, 6, generator=draw), dim=-1) for shape in ((3, len(names)), (30,)))

    def case(device):
        vectors = F.normalize(each.mean(1), dim=1).to(device)
        texts = TextEmbeddings(vectors, torch.arange(3), CLASSES, "toy", "tcl", each=each.to(device))
        entropies = TemplateEntropies(texts, 20.0)
        entropies.add(asked.to(device))
        return FLOSS(entropies.rankings(names)).fit(texts, temperature=20.0)(asked.to(device))

    check(case)


@pytest.mark.parametrize("name", FEW_SHOT)
def test_methods_of_examples(name):
    """Of the examples some lie on the device, and some still on the CPU."""
    draw = torch.Generator().manual_seed(0)
    given, asked, words = (F.normalize(torch.randn(n, 6, generator=draw), dim=1) for n in (12, 5, 3))

    def case(device):
        vectors, labels = given.to(device), torch.arange(12) % 3
        texts = TextEmbeddings(words.to(device), torch.arange(3), CLASSES, "toy", "none")
        examples = Examples(vectors, labels, "toy", things=torch.arange(12), captions=given.flip(0))
        return build(CLASSIFIERS, {"type": name, **FEW_SHOT[name]}).fit(texts, examples, 20.0)(asked.to(device))

    check(case)


@pytest.mark.parametrize("shrink", [True, False])
def test_gaussian_weights(shrink):
    vectors = F.normalize(torch.randn(40, 8, generator=torch.Generator().manual_seed(0)), dim=1)

    def case(device):
        some = vectors.to(device)
        weights = gaussian_weights(some, torch.arange(40) % 3, 3, shrink)
        return weights, new_class_weights(some, some[:3], 5)

    check(case)


@pytest.mark.parametrize(("overlap", "uncovered"), zip(OVERLAPS, UNCOVERED, strict=True))
def test_labels_painted_from_regions(overlap, uncovered):
    def case(device):
        painter = RegionSegmentor(
            clip(device),
            {"type": "mask-pooling", "short_side": 64},
            build_sam(automatic=FEW_POINTS),
            overlap,
            uncovered,
            templates="none",
            short_side=64,
        ).to(device)
        texts = painter.embed(CLASSES, "literal")
        found = painter.encode_regions([SCENE.image], [regions()], texts)[0]
        boxes = painter.encode_regions([SCENE.image], [regions(device, masks=False)], texts)[0]
        (seen,) = painter.encode([SCENE.image])
        (other,) = painter.encode_resized([BATCH[0].to(device)], [(50, 70)])
        return [(painter.scores(one, texts), painter.label(one, texts)) for one in (found, boxes, seen, other)]

    check(case)


# Regions ----------------------------------------------------------------------------------------------------------


def test_regions():
    def case(device):
        found, boxes = regions(device), regions(device, masks=False)
        keep = torch.tensor([True, False, True, False][: len(found)])
        again = Regions.from_masks(found.masks, scores=found.areas), Regions.from_masks(found.masks[:0])
        picked = found[[0, 1]], found[keep.to(device)], found[1:], boxes.with_filled_boxes()[0]
        near = boxes.with_masks(regions().masks).with_scores(torch.ones(len(boxes)))
        cut = Regions.from_boxes(boxes.boxes + 20, boxes.size), Regions.from_boxes(boxes.boxes, (200, 200), "xywh")
        return found.areas, found.centres, near, again, picked, cut

    check(case)


@pytest.mark.parametrize("near", [True, False])
@pytest.mark.parametrize("name", VISUAL_PROMPTS)
def test_visual_prompts(name, near):
    """The regions may lie on the device of the image, or still on the CPU."""
    check(lambda device: draw(BATCH[0].to(device), regions(device if near else CPU), name, 48))
    check(lambda device: draw((255 * BATCH[0]).byte().to(device), regions(device), name).float(), tolerance=0.05)


EMBEDDERS: dict[str, Callable[[Where], Any]] = {
    "alpha-clip": lambda device: AlphaRegions(alpha_clip(device)),
    "grain": lambda device: GrainRegions(grain(device)),
    "marked-images": lambda device: MarkedImages(clip(device), ["crop", "blur_mask", "contour"], batch=2),
    "marked-images as published": lambda device: MarkedImages(
        clip(device), ["crop", "blur_mask"], style={"compatible": True}
    ),
    "mask-pooling": lambda device: MaskPooling(clip(device), short_side=64),
    "mask-pooling of boxes": lambda device: MaskPooling(clip(device), "naclip", use_masks=False, short_side=None),
    "prompter": lambda device: PromptedRegions(clip(device), "mini-cloc"),
    "prompter of masks": lambda device: PromptedRegions(clip(device), "mini-cloc", hint="mask"),
    "prompter at random": lambda device: PromptedRegions(clip(device), "random:1"),
    "roi-align": lambda device: RoIPooling(clip(device)),
    "text-region": lambda device: TextRegion(clip(device), short_side=64, crop=32),
}


def test_every_embedder_is_tried():
    assert {name.partition(" ")[0] for name in EMBEDDERS} == set(REGION_EMBEDDERS.rows)


@pytest.mark.parametrize("near", [True, False])
@pytest.mark.parametrize("embedder", EMBEDDERS)
def test_embedders(embedder, near):
    """The regions may lie on the device of the weights, or still on the CPU."""

    def case(device):
        made, some = EMBEDDERS[embedder](device).to(device), regions(device if near else CPU)
        several = made.embed_batch(
            [SCENE.image, SCENE.image[:, :80]], [some, Regions.whole((64, 80)).with_filled_boxes()]
        )
        return made.embed(SCENE.image, some), made.embed(SCENE.image, some[:0]), several

    # On the CPU, bytes are drawn on by OpenCV, which rounds otherwise.
    check(case, tolerance=0.05 if embedder == "marked-images" else 1e-3)


def test_points_and_places_of_texts():
    points = torch.tensor([[[10.0, 12.0], [40.0, 30.0]], [[50.0, 20.0], [60.0, 61.0]]])

    def encoded(device):
        made = PromptedRegions(clip(device), "mini-cloc").to(device).encoder
        return made, made.encode([SCENE.image])

    def case(device):
        made, images = encoded(device)
        return images, made.embed_points(images, [points]), made.embed_points(images, [points.to(device)])

    check(case)
    check(lambda device: encoded(device)[0].locate(encoded(device)[1], ["red circle", "square"]), stays=False)
    texts = segmentor(CPU).embed(CLASSES)  # embedded elsewhere

    def located(device):
        made, images = encoded(device)
        return made.locate(images, replace(texts, vectors=texts.vectors.clone(), model_id=images.model_id))

    check(located, stays=False)


def mask_makers(device: Where, folder: Path) -> Any:
    sam = build_sam(device=device, automatic=FEW_POINTS)
    return {"sam": sam, "grabcut": GrabCut(), "cached": CachedMasks(sam, folder / str(device))}


@pytest.mark.parametrize("maker", ["sam", "grabcut", "cached"])
def test_mask_makers(maker, tmp_path):
    """Masks come on the CPU, wherever boxes and points are."""
    points = torch.tensor([[[10.0, 12.0]], [[50.0, 20.0]]])

    def case(device):
        made = mask_makers(device, tmp_path)[maker]
        places = [made.from_points(SCENE.image, points.to(where)) for where in (CPU, device)] if maker == "sam" else []
        found = [made.from_boxes(SCENE.image, regions(where)) for where in (CPU, device)]
        boxes = made.from_boxes(made.encode(SCENE.image), regions(device).boxes)
        return places, found, boxes, None if maker == "grabcut" else made.everything(SCENE.image)

    check(case, stays=False, tolerance=0.01)
    if maker == "sam":
        check(lambda device: mask_makers(device, tmp_path)["sam"].encode(SCENE.image).maps)


def test_detectors(tiny_owlv2):
    def case(device):
        found = build(DETECTORS, {"type": "owlv2", "weights": str(tiny_owlv2[0]), "offline": True}).to(device)
        few = build_mini_detector()
        few.mask_maker = build_sam(automatic=FEW_POINTS)
        texts = ["red circle", "blue square"]
        both = [made.find([SCENE.image], [texts]) for made in (found, few.to(device))]
        return both, found.detect(SCENE.image, "a dog"), few.find([SCENE.image], [[]])

    check(case, stays=False)


# Whole models -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("near", [True, False])
@pytest.mark.parametrize("subtract", [True, False])
def test_grounding(subtract, near):
    def case(device):
        grounder = mini(device, subtract=subtract).grounder
        given = [regions(device if near else CPU), regions(device if near else CPU, masks=False)]
        expressions = [
            "the red circle left of the square",
            "the dog between the circle and the square",
            "the largest dog",
        ]
        found = [one for some in given for one in grounder.refer(SCENE.image, expressions, some)]
        masks = [torch.from_numpy(one.mask) for one in found]
        scores = [(one.scores, one.probabilities, one.parts, [step.factor for step in one.steps]) for one in found]
        return scores, masks

    check(case, stays=False, tolerance=0.05)


def test_grounding_by_a_detector():
    def case(device):
        return mini(device, detector="mini").grounder.refer(SCENE.image, "red circle").scores

    check(case, stays=False, tolerance=0.05)


def test_models():
    def case(device):
        model = mini(device)
        found = model.segment(
            [SCENE.image, BATCH[0, :, :, :70].to(device)], "red circle, blue square", background="head", scores=True
        )
        vectors = model.embed([SCENE.image, SCENE.image], [regions(), regions(device)])
        index = RegionIndex.of(["a", "b"], [regions(), regions(device)], vectors)
        hits = index.search(model.embed_texts(["red circle"]), top=3)[0] + index.search(vectors[0][:1], top=3)[0]
        panels = torch.from_numpy(compare(model, SCENE.image, "red circle, blue square")).float()
        arrays = [torch.from_numpy(array) for one in found for array in (one.labels, one.best)]
        return arrays, torch.tensor([hit.score for hit in hits]), panels, index.vectors, index.parts[0].boxes

    check(case, stays=False, tolerance=0.02)


def test_regions_of_none_and_cosines_with_vectors_of_the_cpu():
    texts = F.normalize(torch.randn(3, clip(CPU).dim, generator=torch.Generator().manual_seed(0)), dim=1)

    def case(device):
        some, none = mini(device).embed_regions([SCENE.image] * 2, [regions(), regions()[:0]])
        return some.cosines(texts), none.cosines(texts), some[[0]], none

    check(case)


def test_metrics():
    """Scores may lie on the device while the truth of retrieval is on the CPU."""
    scores = torch.randn(9, 4, generator=torch.Generator().manual_seed(0))
    truths = torch.arange(9) % 4

    def case(device):
        choices = choose(scores.to(device), truths.tolist())
        recalls = retrieval_recalls(scores.to(device), truths)
        matrix = confusion_matrix(truths.to(device), scores.argmax(1).to(device), 4)
        return torch.tensor([one.rank for one in choices]), torch.tensor([*recalls.values()]), scores_of(matrix, "abcd")

    check(case, stays=False)


# What is waited for -----------------------------------------------------------------------------------------------


WAITLESS = {
    "maskclip": {"window": 32, "stride": 16},
    "dinoiser": {"refiners": [{"type": "dinoiser", "weights": "mini-dinoiser"}], "window": 36, "stride": 20},
    "finer heads": {"refiners": [REFINED["dinoiser on sub-patches"](CPU)], "window": None},
    "logits": {"window": 32, "stride": 16, "average": "logits"},
}
BATCH_OF_SIZES = [SCENE.image, SCENE.image[:, :80], SCENE.image[:50].copy()]


@pytest.mark.parametrize("background", ["none", "threshold:0.6", "head:0.95"])
@pytest.mark.parametrize("kind", WAITLESS)
def test_a_batch_is_waited_for_once(kind, background):
    """A GPU works through a batch without a question; the labels of all its images come back in one copy."""
    if background == "head:0.95" and "refiners" not in WAITLESS[kind]:
        pytest.skip("it has no head")
    with pretended_device() as device:
        made = segmentor(device, **WAITLESS[kind])
        texts = made.embed(CLASSES, background)
        model = densevl.Model(made)
        model.segment(BATCH_OF_SIZES, texts)  # what belongs to a size of images is made for the first of them
        with waits() as found:
            model.segment(BATCH_OF_SIZES, texts)
    pixels = sum(image.shape[0] * image.shape[1] for image in BATCH_OF_SIZES)
    assert found == [f"copy of {(2 * pixels,)} to the CPU"]


def test_what_is_waited_for_is_found():
    with pretended_device() as device:
        there = torch.arange(6.0, device=device)
        places = torch.tensor([1, 2], device=device)
        with waits() as none:
            (there[places] + there.new_zeros(2)).to(device).masked_fill_(places > 1, 0).max(dim=0)
            torch.ones(3).to(device, non_blocking=True)
            there[there > 2] = 0
        assert none == []
        for wait, why in (
            (lambda: there.sum().item(), "_local_scalar_dense"),
            (lambda: bool((there > 2).any()), "_local_scalar_dense|is_nonzero"),
            (lambda: there.tolist(), "tolist"),
            (lambda: there.cpu(), r"copy of \(6,\) to the CPU"),
            (lambda: there.to("cpu", torch.float64), "copy of .* to the CPU"),
            (lambda: torch.ones(3).copy_(there[:3]), "copy of .* to the CPU"),
            (lambda: torch.ones(3).to(device), "copy of .* to the device"),
            (lambda: there.new_tensor([1.0]), "copy of .* to the device"),
            (lambda: torch.tensor([1.0], device=device), "copy of .* to the device"),
            (lambda: there[:3].copy_(torch.ones(3)), "copy of .* to the device"),
            (lambda: there[there > 2], "index by a mask"),
            (lambda: there[torch.tensor([1, 2])], "index by places of the CPU"),
            (lambda: there.nonzero(), "nonzero"),
            (lambda: torch.unique(there), "_unique2"),
            (lambda: torch.equal(there, there), "equal"),
        ):
            with waits() as found:
                wait()
            assert len(found) == 1
            assert re.fullmatch(why, found[0])


# The pretended device itself --------------------------------------------------------------------------------------


def test_the_pretended_device_refuses_the_cpu():
    with pretended_device() as device:
        there, here = torch.ones(3, device=device), torch.ones(3)
        assert (there + torch.tensor(1.0)).sum().item() == 6
        assert there[torch.tensor([0, 2])].tolist() == [1, 1]
        here.copy_(there)
        here[:2] = there[:2]
        assert (here + torch.ones(3)).tolist() == [2, 2, 2]
        places = torch.tensor([0, 2], device=device)
        for mixed in (
            lambda: there + here,
            lambda: here[places],
            lambda: there.index_put_((places,), here[:2]),
            lambda: there[places] + here[:2],
            lambda: torch.cat([there, here]),
            lambda: torch.mm(there[None], there[:, None], out=torch.empty(1, 1)),
        ):
            with pytest.raises(RuntimeError, match="two devices"):
                mixed()
        with pytest.raises((TypeError, RuntimeError)):
            there.numpy()
        with pytest.raises((TypeError, RuntimeError)):
            np.asarray(there)
