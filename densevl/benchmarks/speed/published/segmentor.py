"""CLIP-DINOiser by its published code: https://github.com/wysoczanska/clip_dinoiser (Apache-2.0), tried at a954aae.

The user gives a checkout; nothing of it is copied here. Its classes get the weights of one of our segmentors by name
and label images in the protocol of its own evaluation: one window after another, in float32, scores of all classes at
all pixels. The libraries that it was written on are stood in for, see
:mod:`densevl.benchmarks.speed.published.stand_ins`.
"""

import hashlib
import importlib
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from jaxtyping import Float, Int64, UInt8
from open_clip import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from torch import Tensor

from densevl.benchmarks.speed.published.stand_ins import EncoderDecoder, stand_ins, standing_in
from densevl.core.errors import UsageError, first_line
from densevl.core.features import TextEmbeddings
from densevl.core.geometry import Size, resized_size
from densevl.core.images import resize_image, to_tensor
from densevl.dense.refiners.dinoiser import DinoiserRefiner
from densevl.tasks.segmentation.segmentor import Segmentor

__all__ = ["PublishedSegmentor", "commit_of"]

SOURCE = "https://github.com/wysoczanska/clip_dinoiser"
TRIED = "a954aae"
FILES = (
    "models/builder.py",
    "segmentation/evaluation/clip_dinoiser_eval.py",
    "configs/clip_dinoiser.yaml",
    "configs/maskclip.yaml",
)
"""Files of the checkout that a run needs, beside those that they import."""

INFERENCER = "DinoCLIP_Infrencer"
"""The class of the published code that labels images."""


class PublishedSegmentor:
    """The published code with the weights and the settings of a segmentor.

    Args:
        folder: a checkout of the published code.
        segmentor: MaskCLIP or CLIP-DINOiser, as :class:`densevl.benchmarks.speed.plain.PlainSegmentor` takes it.
        texts: the classes, one text each, embedded by the segmentor.

    Attributes:
        commit: of the checkout, see :func:`commit_of`.

    Raises:
        UsageError: where the folder holds no such code or code of other names, it imports what is not installed, or the
            segmentor has settings that the code does not have.
    """

    def __init__(self, folder: str | os.PathLike[str], segmentor: Segmentor, texts: TextEmbeddings) -> None:
        path = Path(folder).resolve()
        for file in FILES:
            if not (path / file).is_file():
                raise UsageError(
                    f"{folder} is no checkout of CLIP-DINOiser's published code: it has no {file}; "
                    f"give the folder that `git clone {SOURCE}` makes"
                )
        self.settings, self.classes = segmentor, len(texts.vocabulary)
        self.commit = commit_of(path)
        encoder: Any = segmentor.encoder
        with standing_in(stand_ins(path, encoder.model), path), _told(folder):
            configs = {name: _model_config(path / "configs" / f"{name}.yaml") for name in ("clip_dinoiser", "maskclip")}
            _check(segmentor, texts, configs["maskclip"])
            self.model = self._built(configs, segmentor.refiners[0] if segmentor.refiners else None, texts)
            evaluation = importlib.import_module("segmentation.evaluation.clip_dinoiser_eval")
            self.inferencer = getattr(evaluation, INFERENCER)

    def _built(self, configs: Mapping[str, Any], heads: Any, texts: TextEmbeddings) -> Any:
        """Its model with our weights: those of the encoder come through the door of open_clip, the others by name."""
        builder = importlib.import_module("models").build_model
        if heads is None:
            model = builder(configs["maskclip"], class_names=["a class"])
            head = model.decode_head
        else:
            config = {**configs["clip_dinoiser"], "gamma": heads.gamma, "in_dim": heads.obj_proj.out_channels}
            model = builder(config, class_names=["a class"])
            for name in ("obj_proj", "bkg_decoder"):
                getattr(model, name).load_state_dict(getattr(heads, name).state_dict())
            model.apply_found = False
            head = model.clip_backbone.decode_head
        device = self.settings.device
        if head.class_embeddings.shape[1] != texts.vectors.shape[1]:
            raise ValueError(f"class embeddings of width {head.class_embeddings.shape[1]}")
        head.class_embeddings = texts.vectors.float()
        return model.eval().to(device)

    def _sliding(self, model: Any, size: Size) -> EncoderDecoder:
        """Its inferencer around a model, with our window and stride; those of its own configs are 448 and 224."""
        window, stride = self.settings.window, self.settings.stride
        crop = size if window is None else (window, window)
        test = {"mode": "slide", "crop_size": crop, "stride": (stride, stride)}
        made: EncoderDecoder = self.inferencer(model, num_classes=self.classes, test_cfg=test)
        return made

    @torch.no_grad()
    def encode(self, image: UInt8[np.ndarray, "H W 3"]) -> tuple[list[Tensor], Float[Tensor, "1 3 H2 W2"], Size]:
        """Its model's probabilities of the classes at the patches of each window, and the resized image."""
        settings, size = self.settings, image.shape[:2]
        resized = size if settings.short_side is None else resized_size(size, settings.short_side, settings.long_side)
        tensor = to_tensor(resize_image(image, resized))[None].to(settings.device)
        crops = self._sliding(None, resized).crops(resized)
        return [self.model(tensor[..., rows, columns]) for rows, columns in crops], tensor, size

    @torch.no_grad()
    def label(self, encoded: tuple[list[Tensor], Float[Tensor, "1 3 H2 W2"], Size]) -> Int64[Tensor, "H W"]:
        """Labels of all pixels: its inferencer, to which the windows' probabilities are handed one after another."""
        maps, tensor, size = encoded
        ready, resized = iter(maps), (tensor.shape[2], tensor.shape[3])
        return self._sliding(lambda window: next(ready), resized).labels(tensor, size)


def commit_of(folder: Path) -> str:
    """The commit of a checkout, with ``+`` where it was changed; else a hash of its Python files.

    A folder without a history of its own, such as an unpacked archive, tells no commit.
    """
    try:
        top = _git(folder, "rev-parse", "--show-toplevel")
        if Path(top).resolve() == folder.resolve():
            return _git(folder, "rev-parse", "--short=7", "HEAD") + "+" * bool(_git(folder, "status", "--porcelain"))
    except (OSError, subprocess.CalledProcessError):  # no git, or no checkout
        pass
    content = hashlib.sha256()
    for file in sorted((*folder.glob("models/**/*.py"), *folder.glob("segmentation/**/*.py"))):
        content.update(file.relative_to(folder).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return f"no commit, files sha256 {content.hexdigest()[:12]}"


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@contextmanager
def _told(folder: object) -> Iterator[None]:
    """Say of what goes wrong in foreign code that it is the checkout's, and the cure."""
    try:
        yield
    except UsageError:
        raise
    except ImportError as error:
        cure = f"check out {TRIED} of {SOURCE}, with which the stand-ins were tried, or install what is missing"
        raise UsageError(f"the code in {folder} cannot be imported ({first_line(error)}); {cure}") from error
    except Exception as error:  # whatever foreign code stumbles over
        raise UsageError(
            f"the code in {folder} goes by other names than commit {TRIED} of {SOURCE} "
            f"({type(error).__name__}: {first_line(error)}); check that one out"
        ) from error


def _model_config(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))["model"]


def _check(segmentor: Segmentor, texts: TextEmbeddings, config: Mapping[str, Any]) -> None:
    """Refuse settings that the published code has otherwise, and cannot be told.

    Args:
        segmentor: ours.
        texts: ours.
        config: of its MaskCLIP.
    """
    encoder: Any = segmentor.encoder
    published, head = config["backbone"], config["decode_head"]
    default: Any = DinoiserRefiner(width=1, inner=1)
    heads: Any = segmentor.refiners[0] if segmentor.refiners else default
    side = published["img_size"]
    pairs = {
        "temperature": (segmentor.temperature, 100.0),
        "texts of a class": (len(texts.vectors) / len(texts.vocabulary), 1.0),
        "mean and deviation of pixels": ((encoder.mean, encoder.std), (OPENAI_DATASET_MEAN, OPENAI_DATASET_STD)),
        "image size": (tuple(encoder.image_size), (side, side)),
        "patch size": (encoder.patch_size, published["patch_size"]),
        "width": (encoder.width, head["in_channels"]),
        "joint width": (encoder.dim, head["text_channels"]),
        **{name: (getattr(heads, name), getattr(default, name)) for name in ("layer", "radius", "rounds", "sub_patch")},
    }
    for name, (ours, theirs) in pairs.items():
        if ours != theirs:
            raise UsageError(
                f"the published code has {name} {theirs}, and this model {ours}; measure one that it can run, such as "
                "dinoiser"
            )
