"""Models as graphs for other programs: ONNX, and what ``torch.export`` saves.

A graph is compared with the model, on images of several sizes and in batches, before it gets its name. Beside it lies a
JSON file, the *sidecar*: what goes in, what comes out, the protocol, and how far the two were apart.
"""

import json
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from densevl.api.model import ClassesLike, Model
from densevl.core.errors import OutputError, UsageError, suggestion
from densevl.core.features import TextEmbeddings
from densevl.core.files import atomic_write
from densevl.core.geometry import Size
from densevl.core.vocabulary import Vocabulary
from densevl.tasks.segmentation.graph import SegmentationGraph
from densevl.tasks.segmentation.segmentor import Segmentor
from densevl.weights.download import file_sha256

__all__ = ["FORMATS", "INPUTS", "OPSET", "TOLERANCE", "check", "export"]

FORMATS = {"onnx": ".onnx", "torch-export": ".pt2"}
"""The formats, and the suffix of their files."""

INPUTS = {"uint8": torch.uint8, "float32": torch.float32}
"""What images come as: bytes, or floats in [0, 1]."""

OPSET = 18
"""Version of the operators of ONNX."""

TOLERANCE = 1e-4
"""Largest difference of a probability from the model's that a graph may have."""

OLDEST_TORCH = "2.14"
"""The oldest torch whose exporters are known to make these graphs."""

LARGEST = 2**31
"""Bytes that one ONNX file can hold."""

Answers = Callable[..., Sequence[Tensor]]
"""A graph that was read again: images, size and perhaps vectors of classes in, outputs out."""


def export(
    model: Model,
    path: str | Path,
    *,
    format: str = "onnx",
    classes: ClassesLike | None = None,
    background: Any = None,
    output: str = "scores",
    images: str = "uint8",
) -> dict[str, Any]:
    """Write the image path of a model as a graph, and the sidecar ``<path>.json``.

    The inputs of the graph are ``images`` "b 3 H W", of any batch and size; ``size``, the (height, width) that is put
    out, two int64; and ``classes`` "k d", a unit vector for each class, where none are part of the graph. The outputs
    are ``scores`` "b k height width", or ``labels`` and ``probability`` "b height width".

    Args:
        model: with a dense segmentor that encodes images whole.
        path: of the graph, with the suffix of its format.
        format: one of :data:`FORMATS`.
        classes: that become a part of the graph; None for vectors as an input.
        background: a background mode for the classes; None for the model's own.
        output: one of :data:`densevl.tasks.segmentation.graph.OUTPUTS`.
        images: what images come as, one of :data:`INPUTS`.

    Returns:
        The sidecar.

    Raises:
        UsageError: where an argument is unknown, the extra `export` is not installed, or the graph would leave out
            something that the model does.
        OutputError: where the graph answers otherwise than the model, or cannot be written; nothing is left then.
    """
    path = Path(path)
    check(format, path, background, classes)
    if images not in INPUTS:
        raise UsageError(f"images must be one of {', '.join(INPUTS)}; got {images!r}")
    segmentor: Any = model.segmentor
    SegmentationGraph(segmentor, output=output)  # what it cannot do is said before texts are embedded
    texts = None if classes is None else model.embed_classes(classes, background)
    graph = SegmentationGraph(segmentor, texts, output).eval()
    _check_place(segmentor, format)
    inputs = _inputs(segmentor, 2, (3 * segmentor.encoder.patch_size + 3, 4 * segmentor.encoder.patch_size + 2), images)
    if texts is None:
        inputs["classes"] = _some_classes(segmentor, 3).vectors
    outputs = ["labels", "probability"] if output == "labels" else ["scores"]
    with atomic_write(path) as temporary:
        with _quiet(), torch.no_grad():
            program = torch.export.export(
                graph, (), inputs, dynamic_shapes={name: _DYNAMIC[name] for name in inputs}, strict=False
            )
            if format == "onnx":
                written = torch.onnx.export(
                    program,
                    dynamo=True,
                    opset_version=OPSET,
                    input_names=list(inputs),
                    output_names=outputs,
                    verbose=False,
                )
                assert written is not None
                written.save(temporary, external_data=False)
            else:
                torch.export.save(program, temporary)
        answers = (_read_onnx if format == "onnx" else _read_program)(temporary, outputs)
        checks = [_compared(segmentor, texts, answers, case, images) for case in _cases(segmentor)]
        worst = max(one["largest_difference"] for one in checks)
        if not worst <= TOLERANCE:
            raise OutputError(
                f"the graph is not written: its probabilities differ from the model's by up to {worst:.2g}, more than "
                f"{TOLERANCE:g}; this is a fault of densevl or of the exporter of torch {torch.__version__}"
            )
        sidecar = _sidecar(model, texts, format, path, temporary, inputs, output, images) | {"checks": checks}
        with atomic_write(path.with_name(f"{path.name}.json")) as beside:
            beside.write_text(json.dumps(sidecar, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return sidecar


_AXES = {0: "batch", 2: "height", 3: "width"}
_DYNAMIC: dict[str, Any] = {
    "images": dict.fromkeys(_AXES, torch.export.Dim.DYNAMIC),
    "size": None,
    "classes": {0: torch.export.Dim.DYNAMIC},
}
"""The axes of the inputs that have any length."""


def check(format: str, path: str | Path, background: Any = None, classes: ClassesLike | None = None) -> None:
    """Refuse what can be known to be wrong before a model is loaded, and what is not installed.

    Args:
        format: one of :data:`FORMATS`.
        path: of the graph.
        background: a background mode.
        classes: what it belongs to.

    Raises:
        UsageError: where one is.
    """
    if format not in FORMATS:
        raise UsageError(f"format {format!r} is unknown; {suggestion(format, FORMATS)}")
    if Path(path).suffix != FORMATS[format]:
        raise UsageError(f"a file of the format {format} ends in {FORMATS[format]}; got {Path(path).name!r}")
    if background is not None and classes is None:
        raise UsageError("a background mode belongs to classes that are part of the graph; give classes, too")
    if torch.__version__ < OLDEST_TORCH:
        raise UsageError(f"graphs are made by torch {OLDEST_TORCH} or newer; this is {torch.__version__}: upgrade it")
    absent = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if format == "onnx" and absent:
        raise UsageError(f"the format onnx needs {', '.join(absent)}; run: pip install 'densevl[export]'")


def _check_place(segmentor: Segmentor, format: str) -> None:
    """Refuse a model that is on another device than the CPU, or too large for one file.

    Raises:
        UsageError: where it is.
    """
    if segmentor.device.type != "cpu":
        raise UsageError(f"a graph is made on the CPU, and the model is on {segmentor.device}; load it with device=cpu")
    size = sum(one.numel() * one.element_size() for one in segmentor.dense.parameters())
    if format == "onnx" and size >= LARGEST:
        raise UsageError(
            f"weights of {size / 1e9:.1f} GB do not fit into one ONNX file; take format=torch-export or a smaller model"
        )


@dataclass(frozen=True)
class _Case:
    """What a graph is compared on: a batch of images of one size, and the size that is put out."""

    batch: int
    image: Size
    size: Size


def _cases(segmentor: Segmentor) -> list[_Case]:
    """The size that the encoder was trained with, and others: whole patches and not, larger and smaller outputs."""
    patch, native = segmentor.encoder.patch_size, segmentor.encoder.image_size
    return [
        _Case(1, native, native),
        _Case(2, (5 * patch + 3, 7 * patch + 1), (8 * patch, 6 * patch + 1)),
        _Case(3, (2 * patch, 3 * patch - 1), (1, 5)),
    ]


def _inputs(segmentor: Segmentor, batch: int, size: Size, images: str, out: Size | None = None) -> dict[str, Tensor]:
    """Images with soft shapes and noise, always the same, and the size that is put out."""
    random = torch.Generator().manual_seed(0)
    shapes = F.interpolate(torch.rand(batch, 3, 5, 7, generator=random), size, mode="bicubic", align_corners=False)
    noisy = (shapes + 0.1 * torch.rand(batch, 3, *size, generator=random)).clamp(0, 1)
    made = (noisy * 255).byte() if images == "uint8" else noisy
    return {"images": made, "size": torch.tensor(out or size)}


def _some_classes(segmentor: Segmentor, count: int) -> TextEmbeddings:
    """Vectors in the place of texts, always the same."""
    vectors = torch.randn(count, segmentor.encoder.dim, generator=torch.Generator().manual_seed(1))
    names = Vocabulary.of([f"class {number}" for number in range(count)])
    return TextEmbeddings(
        F.normalize(vectors, dim=1), torch.arange(count), names, segmentor.encoder.model_id, segmentor.templates
    )


def _read_onnx(path: Path, outputs: Sequence[str]) -> Answers:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def answers(**inputs: Tensor) -> list[Tensor]:
        given = {name: value.numpy() for name, value in inputs.items()}
        return [torch.from_numpy(value) for value in session.run(list(outputs), given)]

    return answers


def _read_program(path: Path, outputs: Sequence[str]) -> Answers:
    module = torch.export.load(path).module()

    @torch.no_grad()
    def answers(**inputs: Tensor) -> Sequence[Tensor]:
        return module(**inputs)

    return answers


def _compared(
    segmentor: Segmentor, texts: TextEmbeddings | None, answers: Answers, case: _Case, images: str
) -> dict[str, Any]:
    """A case with the largest difference of a probability from the model's."""
    inputs = _inputs(segmentor, case.batch, case.image, images, case.size)
    if texts is None:
        texts = _some_classes(segmentor, 5)
        inputs["classes"] = texts.vectors
    encoded = segmentor.encode_resized(list(inputs["images"]), [case.size] * case.batch, texts)
    wanted = torch.stack([segmentor.scores(one, texts) for one in encoded])
    found = answers(**inputs)
    if len(found) == 1:
        difference = (found[0] - wanted).abs().max().item()
    else:
        labels, best = found
        own = wanted.gather(1, labels[:, None])[:, 0]
        if texts.threshold is not None and texts.vocabulary.background is not None:
            low = labels == texts.vocabulary.background
            own = torch.where(low, wanted.amax(1).clamp(max=texts.threshold), own)
        difference = max((best - wanted.amax(1)).abs().max().item(), (best - own).abs().max().item())
    return {
        "batch": case.batch,
        "image": list(case.image),
        "size": list(case.size),
        "largest_difference": float(f"{difference:.3g}"),
    }


def _sidecar(
    model: Model,
    texts: TextEmbeddings | None,
    format: str,
    path: Path,
    written: Path,
    inputs: dict[str, Tensor],
    output: str,
    images: str,
) -> dict[str, Any]:
    segmentor: Any = model.segmentor
    packages = ["densevl", "torch", *(["onnx", "onnxscript", "onnxruntime"] if format == "onnx" else [])]
    described: dict[str, Any] = {
        "file": path.name,
        "sha256": file_sha256(written),
        "format": format,
        "model": model.name,
        "protocol": segmentor.protocol,
        "inputs": {
            "images": f"{images} (batch, 3, height, width), RGB"
            + (", 0 to 255" if images == "uint8" else " in [0, 1]")
            + ", resized as `resize` says",
            "size": "int64 (2): height and width of what is put out",
        },
        "resize": {
            "short_side": segmentor.short_side,
            "long_side": segmentor.long_side,
            "interpolation": "bilinear without antialiasing, half-pixel centres (OpenCV's INTER_LINEAR), in 8 bits",
        },
        "outputs": {"scores": "float32 (batch, classes, height, width): probability of each class"}
        if output == "scores"
        else {
            "labels": "int64 (batch, height, width): index of the best class",
            "probability": "float32 (batch, height, width): of that class",
        },
        "outside": "nothing: no windows and no smoothing belong to this protocol",
        "packages": {name: version(name) for name in packages},
        "tolerance": TOLERANCE,
    }
    if format == "onnx":
        described["opset"] = OPSET
    if texts is None:
        described["inputs"]["classes"] = f"float32 (classes, {segmentor.encoder.dim}): a unit vector of each class"
    else:
        described["classes"] = [names[0] for names in texts.vocabulary.classes]
        described["background"] = texts.vocabulary.background
    return described


@contextmanager
def _quiet() -> Iterator[None]:
    """Exporters that tell their steps to nobody."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
