"""CLIP encoders from weights: an architecture, filled from a file of the weights table or of the user.

A file is read by its layout (:mod:`densevl.weights.layouts`): that of its row, the one that is asked for, or the one
whose signs it shows. What a file of a part of a model does not hold comes from its base.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from densevl.core.errors import UsageError
from densevl.encoders.architectures import (
    Arch,
    architecture_beside,
    architecture_name,
    build_model,
    filled,
    preparation_beside,
)
from densevl.encoders.clip import OPENAI_MEAN, OPENAI_STD, CLIPEncoder, WholeImageEncoder
from densevl.encoders.faults import channels, check_activation, check_base, known_weights, likeness
from densevl.encoders.texts.cache import TextCache
from densevl.weights import WeightsEntry, check_state_dict, fetch, layouts, weights_entry
from densevl.weights.download import file_sha256
from densevl.weights.layouts import Layout, find_layout
from densevl.weights.opened import OpenedWeights, open_weights, random_seed

__all__ = ["build_clip", "build_clip_model", "build_random_clip", "build_whole_clip"]

LEFTOVERS = {"input_resolution", "context_length", "vocab_size"}
"""Numbers that OpenAI's checkpoints hold beside the weights."""


def build_clip(
    weights: str | Path,
    arch: Arch | None = None,
    *,
    offline: bool = False,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    resize: str | None = None,
    interpolation: str | None = None,
    layout: str | None = None,
    base: str | Path | Sequence[str | Path] | None = None,
    tokenizer: str | Path | None = None,
    like: str | None = None,
    text_cache: bool = True,
    whole: bool = False,
    delta: str | Path | None = None,
) -> Any:
    """An encoder of images, patches and texts in float32 on the CPU, for inference.

    Args:
        weights: a name of the weights table, a file, or ``random:SEED`` for weights that mean nothing but take the same
            time.
        arch: architecture by its name in open_clip, such as ``"ViT-B-16-quickgelu"`` (the activation is part of the
            name; OpenAI's weights are made for QuickGELU), by one of densevl's own, such as ``"mini-clip"``, or as
            open_clip's JSON. Where it is None, a name of the weights table knows it, and beside a file it is read from
            the JSON file of the same name.
        offline: never reach for the network.
        mean: mean of each channel of RGB in [0, 1] in training, where it is not the one of the weights table, of the
            layout, or OpenAI's.
        std: standard deviation of each channel in training, where it is not that of the mean's source.
        resize: ``"crop"`` or ``"squash"``, where it is not the one of the weights table, of the layout, or ``"crop"``.
        interpolation: ``"bicubic"`` or ``"bilinear"``, where it is not the one of the weights table, or ``"bicubic"``.
        layout: the names that the file gives its tensors; None for those of the weights table, or to tell by them.
        base: a name of the weights table or a file: the model that a file of a part of a model was made from; several
            where it lies in several files.
        tokenizer: the file of the tokenizer, where it is not CLIP's; None for the one of the weights table, or the one
            beside the file.
        like: a name of the weights table: of a file, what neither it nor its layout says is as with these weights, such
            as the architecture, the mean and the tokenizer.
        text_cache: keep text embeddings on disk.
        whole: embed whole images alone, which every image tower of open_clip can do.
        delta: a file of what tuning learnt in this encoder, such as the classes that ``densevl tune`` wrote; None for
            the encoder as it is.

    Returns:
        A :class:`densevl.encoders.clip.CLIPEncoder`, or where whole images are enough its base.

    Raises:
        UsageError: where the name, the architecture or the layout is unknown.
        WeightsError: where the weights are missing, damaged or of another architecture.
    """
    seed = random_seed(weights)
    if seed is not None:
        return _tuned(build_random_clip(arch or "ViT-B-16", seed, whole), delta)
    mean, std = channels(mean, std)
    given = {"mean": mean, "std": std, "resize": resize, "interpolation": interpolation}
    opened = open_weights(weights, offline)
    if opened.entry is None:
        beside = preparation_beside(opened.path)
        told = {name: tuple(value) if isinstance(value, list) else value for name, value in beside.items()}
        given = {name: told.get(name) if value is None else value for name, value in given.items()}
    row, known = opened.entry, known_weights(opened)
    asked = weights_entry(like) if row is None and like else row
    similar = asked or known
    arch = arch or _architecture(opened, similar)
    if row is not None:
        layout, base = layout or row.layout, base or row.base
    found = _layout(layout, opened)
    check_activation(arch, opened, found, known)
    if base is not None and not found.base:
        raise UsageError(f"{opened.path} holds a whole model, so the base {base} would change nothing; leave it out")
    names = () if base is None else (base,) if isinstance(base, str | Path) else base
    made_from = [open_weights(name, offline) for name in names]
    # Texts of a base are read as the base reads them.
    readers = (_tokenizer(entry, offline) for entry in (asked, *(part.entry for part in made_from)) if entry)
    tokenizer = tokenizer or next(filter(None, readers), opened.path.parent)
    model, reader = _model(arch, opened, found, tokenizer, made_from)
    usual = _preparation(row, found, similar)
    changed = {name: value for name, value in given.items() if value is not None and value != usual[name]}
    identity = opened.identity(architecture_name(arch, opened.path))
    identity += "".join(f"+{part}" for part in _further(made_from, found, reader, changed))
    kind = WholeImageEncoder if whole else CLIPEncoder
    encoder = kind(
        model,
        reader,
        model_id=identity,
        text_cache=TextCache() if text_cache else None,
        **(usual | changed),
    )
    encoder.arch = arch
    return _tuned(encoder.eval().requires_grad_(False), delta)


def build_whole_clip(weights: str | Path, arch: Arch | None = None, **settings: Any) -> WholeImageEncoder:
    """An encoder of whole images and texts alone, with any image tower of open_clip.

    Args:
        weights: a name of the weights table, or a file.
        arch: architecture, as for :func:`build_clip`.
        settings: further arguments of :func:`build_clip`.

    Raises:
        UsageError: as :func:`build_clip`.
        WeightsError: as :func:`build_clip`.
    """
    return build_clip(weights, arch, **settings, whole=True)


def build_clip_model(arch: Arch, path: str | Path) -> tuple[nn.Module, Any]:
    """A model with the weights of a file, and its tokenizer; nothing is downloaded.

    Raises:
        UsageError: where the architecture is unknown, or needs files of a hub for its text tower.
        WeightsError: where the file is damaged or of another architecture.
    """
    opened = OpenedWeights(Path(path), None)
    return _model(arch, opened, _layout(None, opened), opened.path.parent)


def build_random_clip(arch: Arch = "ViT-B-16", seed: int = 0, whole: bool = False) -> Any:
    """An encoder that has learned nothing; its ``model_id`` says so.

    Args:
        arch: architecture, as for :func:`build_clip`.
        seed: the same seed gives the same weights.
        whole: embed whole images alone, which every image tower of open_clip can do.

    Raises:
        UsageError: where the architecture is unknown.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model, tokenizer = build_model(arch)
    kind = WholeImageEncoder if whole else CLIPEncoder
    name = architecture_name(arch, Path("random"))
    encoder = kind(model.eval().requires_grad_(False), tokenizer, model_id=f"{name}@random:{seed}")
    encoder.arch = arch
    return encoder


def _tuned(encoder: WholeImageEncoder, delta: str | Path | None) -> WholeImageEncoder:
    """The encoder, with what tuning learnt in it where a delta is named.

    Raises:
        UsageError: where the delta is of another encoder, or this one embeds whole images alone.
        WeightsError: where the file is damaged.
    """
    if delta is None:
        return encoder
    from densevl.encoders.tuning.attached import attached

    if not isinstance(encoder, CLIPEncoder):
        raise UsageError(f"the delta {delta} is of an encoder of patches, and this one embeds whole images alone")
    return attached(encoder, delta)


def _preparation(row: WeightsEntry | None, found: Layout, similar: WeightsEntry | None) -> dict[str, Any]:
    """How images are prepared for a file: as its row says, else its layout, else the row that it is like."""
    mean, std = (similar.mean, similar.std) if similar else (OPENAI_MEAN, OPENAI_STD)
    resize, interpolation = (similar.resize, similar.interpolation) if similar else ("crop", "bicubic")
    if row is None:
        mean, std, resize = found.mean or mean, found.std or std, found.resize or resize
    return {"mean": mean, "std": std, "resize": resize, "interpolation": interpolation}


def _tokenizer(entry: WeightsEntry, offline: bool) -> Path | None:
    """The file of the tokenizer of weights of the table, brought here; None where they need none."""
    if entry.tokenizer is None:
        return None
    return fetch(next(file for file in entry.files if file.file == entry.tokenizer), offline=offline)


def _architecture(opened: OpenedWeights, similar: WeightsEntry | None) -> Arch:
    """The architecture of a file: in the JSON beside one of the user, else that of the weights that it is like.

    Raises:
        UsageError: where neither tells it.
    """
    beside = architecture_beside(opened.path) if opened.entry is None else None
    found = beside or (similar and (similar.arch or similar.kind))
    if not found:
        raise UsageError(
            f"say which architecture {opened.path} belongs to, such as arch='ViT-B-16', or put its JSON beside it as "
            f"{opened.path.with_suffix('.json').name}"
        )
    return found


def _further(
    made_from: Sequence[OpenedWeights], found: Layout, reader: Any, changed: Mapping[str, Any]
) -> Iterator[str]:
    """What decides the vectors of a model beside its architecture and its file."""
    yield from (part.digest for part in made_from)
    if found.variant:
        yield found.name
    if path := getattr(reader, "path", None):
        yield file_sha256(path)[:12]
    if changed:
        yield hashlib.sha256(json.dumps(changed).encode()).hexdigest()[:8]


def _layout(name: str | None, opened: OpenedWeights) -> Layout:
    """The layout of a name, or the one whose signs a file shows."""
    return find_layout(opened.state) if name is None else layouts.layout(name)


def _read(opened: OpenedWeights, base: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
    """The tensors of a file by our names, those of a part of a model with what their base gives."""
    return _layout(opened.entry.layout if opened.entry else None, opened).read(opened.state, base)


def _model(
    arch: Arch,
    opened: OpenedWeights,
    found: Layout,
    tokenizer: str | Path | None,
    made_from: Sequence[OpenedWeights] = (),
) -> tuple[nn.Module, Any]:
    """A model of an architecture, in float32, with the tensors of a file and of its bases, and its tokenizer."""
    bases = [_read(part, {}) for part in made_from]
    read = found.read(
        opened.state, {name: tensor for base in bases for name, tensor in base.items()} if bases else None
    )
    for part, base in zip(made_from, bases, strict=True):
        check_base(opened, found, part, base)
    state = {name: tensor for name, tensor in read.items() if name not in LEFTOVERS}
    with torch.device("meta"):
        model, reader = build_model(arch, state, tokenizer)
    # Counters of training steps, which batch normalisation keeps and inference does not read.
    counters = {name for name in model.state_dict() if name.endswith("num_batches_tracked")}
    state |= {name: torch.tensor(0) for name in counters if name not in state}
    check_state_dict(state, model.state_dict(), opened.path, lambda: likeness(opened, found, arch, state))
    return filled(model, lambda: build_model(arch, state, tokenizer)[0], state).float().eval(), reader
