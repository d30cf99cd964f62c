"""Training the ranking-aware adapter by scored examples, on an encoder that stays as it is.

Images are encoded once; a step takes examples of one text, and compares each with each. The adapter is
:class:`densevl.encoders.ranking.adapter.RankAdapter`, and what is made small is
:func:`densevl.training.tuning.ranking_loss.ranking_loss`.

Scores of a text are brought to mean 0 and deviation 1, so that texts of any units are learnt together; the reference
regresses them as they are. It also draws a fifth of the images of each step from other texts, with a score of 0. That
is right for counts and not for sizes, so a step here is of one text alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from mmengine.model import BaseModel
from torch import Tensor
from tqdm import tqdm

from densevl.core.errors import UsageError
from densevl.core.images import read_image
from densevl.core.regions import Regions
from densevl.datasets.scored import Scored
from densevl.encoders.contracts import Encoder
from densevl.encoders.ranking.adapter import RankAdapter
from densevl.encoders.ranking.cells import PLACES, covered, image_cells
from densevl.encoders.ranking.ranking import Ranking, adapted, text_tokens
from densevl.metrics.ranks import spearman
from densevl.training.tuning.methods import Settings
from densevl.training.tuning.model import optimizer_of
from densevl.training.tuning.ranking_loss import ranking_loss

__all__ = ["RankingModel", "ScoredCells", "encode_scored", "held_out_images", "judged", "ranking_of"]

LEAST = 3
"""Examples of a text that it is learnt from at least, and held-out ones that an order is judged by at least."""

ENCODED_AT_ONCE = 64
"""Images that are read before they are encoded."""


@dataclass(frozen=True, eq=False)
class ScoredCells:
    """Scored examples as the adapter sees them.

    Attributes:
        cells: of each image.
        images: number of the image of each example.
        covered: the part of each cell that each example covers.
        texts: the texts, each once.
        labels: number of the text of each example.
        scores: of the examples.
    """

    cells: Float[Tensor, "m p d"]
    images: Int[Tensor, " n"]
    covered: Float[Tensor, "n p"]
    texts: tuple[str, ...]
    labels: Int[Tensor, " n"]
    scores: Float[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.scores)

    def only(self, chosen: Tensor) -> "ScoredCells":
        """Some of the examples, by a bool tensor or by their numbers."""
        own = (self.images, self.covered, self.labels, self.scores)
        images, some, labels, scores = (values[chosen] for values in own)
        return replace(self, images=images, covered=some, labels=labels, scores=scores)


def encode_scored(encoder: Encoder, examples: Sequence[Scored], side: int, cells: int) -> ScoredCells:
    """Encode each image of scored examples once.

    Args:
        encoder: of images and texts.
        examples: any number of them.
        side: to which images are squashed, in pixels.
        cells: of the grid, down and across.

    Raises:
        ImageError: where an image cannot be read.
        UsageError: where a region does not fit its image.
    """
    of_image: dict[Path, list[int]] = {}
    for number, one in enumerate(examples):
        of_image.setdefault(one.example.image, []).append(number)
    shares, owners = torch.zeros(len(examples), cells * cells), torch.zeros(len(examples), dtype=torch.long)
    files, found, pixels = list(of_image), [], []
    for place, file in enumerate(tqdm(files, desc="encoding", unit="image", delay=2, disable=None)):
        pixels.append(read_image(file))
        height, width = pixels[-1].shape[:2]
        for number in of_image[file]:
            shares[number], owners[number] = _share(examples[number], (height, width), cells), place
        if len(pixels) == ENCODED_AT_ONCE or file == files[-1]:
            found.append(image_cells(encoder, pixels, side, cells))
            pixels = []
    texts = tuple(dict.fromkeys(one.text for one in examples))
    labels = torch.tensor([texts.index(one.text) for one in examples])
    return ScoredCells(torch.cat(found), owners, shares, texts, labels, torch.tensor([one.score for one in examples]))


def _share(one: Scored, size: tuple[int, int], cells: int) -> Float[Tensor, " p"]:
    """The part of each cell that an example covers."""
    if one.example.box is None and one.example.mask is None:
        return torch.ones(cells * cells)
    mask = one.example.mask_in(size)
    if mask is not None:
        return covered(Regions.from_masks(mask[None]), cells)[0]
    return covered(Regions.from_boxes([one.example.box_in(size)], size), cells)[0]


def held_out_images(examples: ScoredCells, part: float, seed: int) -> tuple[int, ...]:
    """Numbers of images that are held out to judge by, as far as each text keeps enough examples to learn from.

    Args:
        examples: all of them.
        part: of the images.
        seed: chooses them.
    """
    count = len(examples.cells)
    out: list[int] = []
    for image in np.random.default_rng(seed).permutation(count)[: int(part * count)].tolist():
        left = ~torch.isin(examples.images, torch.tensor([*out, image]))
        if torch.bincount(examples.labels[left], minlength=len(examples.texts)).min() >= LEAST:
            out.append(image)
    return tuple(sorted(out))


class RankingModel(BaseModel):
    """An adapter as it is trained.

    Args:
        examples: to learn from.
        vectors: unit vectors of their texts.
        settings: of the method; ``tunables`` holds the config of the adapter, and ``losses`` the weight of the errors
            of scores.
        seed: of the adapter at first.

    Raises:
        UsageError: where a text has too few examples, or all of them have the same score.
    """

    def __init__(self, examples: ScoredCells, vectors: Float[Tensor, "t d"], settings: Settings, seed: int = 0) -> None:
        super().__init__()
        self.settings, self.seed, self.progress = settings, seed, 0.0
        self.known = _scales(examples)
        config = adapter_config(settings)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.adapter = RankAdapter(vectors.shape[1], **config)
        self.weight = float(settings.losses[0].get("weight", 0.2))
        self.centre = vectors.mean(0) if len(vectors) > 1 else torch.zeros(vectors.shape[1])
        # In a tuple: it would be in every checkpoint, or moved with the parameters.
        self._data = (examples, text_tokens(vectors, self.centre))
        self._of_text = [torch.nonzero(examples.labels == label)[:, 0] for label in range(len(examples.texts))]

    @property
    def examples(self) -> int:
        """Number of examples."""
        return len(self._data[0])

    def optimizer(self) -> torch.optim.Optimizer:
        """The optimizer of the settings.

        Raises:
            UsageError: where its type or one of its arguments is unknown.
        """
        return optimizer_of(self.settings, [{"params": list(self.adapter.parameters())}])

    def forward(self, drawn: Sequence[tuple[int, int]], mode: str = "loss") -> dict[str, Tensor]:
        """The loss of a step: some examples of one text.

        Args:
            drawn: of each example of the step its place, and a number; that of the first draws the text and its
                examples.
            mode: unused; MMEngine passes it.

        Raises:
            UsageError: where the loss is not finite.
        """
        examples, texts = self._data
        chance = np.random.default_rng(drawn[0][1])
        label = int(chance.integers(len(self._of_text)))
        own = self._of_text[label]
        chosen = own[torch.from_numpy(chance.permutation(len(own))[: len(drawn)])]
        scale = self.known[examples.texts[label]]
        targets = ((examples.scores[chosen] - scale["mean"]) / scale["deviation"]).float()
        device = self.adapter.reg_tokens.device
        given = (
            examples.cells[examples.images[chosen]],
            examples.covered[chosen],
            texts[label].expand(len(chosen), -1),
        )
        cells, share, words = (values.to(device) for values in given)
        tokens = adapted(self.adapter, round(cells.shape[1] ** 0.5), cells, share, words)
        loss = ranking_loss(self.adapter.scores(tokens), self.adapter.pairs(tokens), targets.to(device), self.weight)
        if not torch.isfinite(loss):
            raise UsageError(
                f"the loss is {loss.item()} after {self.progress:.0%} of the steps: training diverged; take a smaller "
                f"learning rate than {self.settings.optimizer['lr']:g}: --set optimizer.lr=…"
            )
        return {"loss": loss}


def adapter_config(settings: Settings) -> dict[str, Any]:
    """The settings of the adapter among those of a method, without what says how images are seen."""
    config = dict(settings.tunables[0])
    for name in ("type", "side", "cells"):
        config.pop(name, None)
    config["places"] = PLACES if config.get("places") else 0
    return config


def _scales(examples: ScoredCells) -> dict[str, dict[str, Any]]:
    """Mean and deviation of the scores of each text.

    Raises:
        UsageError: where a text has too few examples, or all of them have the same score.
    """
    found = {}
    for label, text in enumerate(examples.texts):
        own = examples.scores[examples.labels == label].double()
        if len(own) < LEAST:
            raise UsageError(f"{text!r} has {len(own)} examples to learn from; give at least {LEAST}, better hundreds")
        deviation = float(own.std())
        if deviation <= 1e-12 * float(own.abs().max()):
            raise UsageError(
                f"all {len(own)} examples of {text!r} have the score {own[0]:g}; there is no order to learn"
            )
        found[text] = {"mean": float(own.mean()), "deviation": deviation, "examples": len(own)}
    return found


def judged(ranking: Ranking, examples: ScoredCells, texts: Float[Tensor, "t d"]) -> dict[str, float]:
    """Spearman's correlation of the scores of a ranking with the true ones, of each text with enough examples.

    Args:
        ranking: what is judged.
        examples: that it did not learn from.
        texts: as :meth:`Ranking.read` gives those of the examples.
    """
    found = {}
    for label, text in enumerate(examples.texts):
        own = examples.only(examples.labels == label)
        if len(own) >= LEAST:
            scores = ranking.scores(own.cells[own.images], own.covered, texts[label])
            found[text] = spearman(scores, own.scores.float())
    return found


def ranking_of(
    model: RankingModel,
    encoder_id: str,
    side: int,
    held_out: ScoredCells | None = None,
    loaded: Mapping[str, Any] | None = None,
    facts: Mapping[str, Any] | None = None,
) -> Ranking:
    """What a trained model has learnt, and how it orders held-out examples.

    Args:
        model: trained.
        encoder_id: identity of the encoder.
        side: to which images were squashed, in pixels.
        held_out: examples that it did not learn from; None for none.
        loaded: what loads the model.
        facts: what else is known.
    """
    examples, texts = model._data
    adapter = model.adapter.eval().requires_grad_(False)
    grid = round(examples.cells.shape[1] ** 0.5)
    made = Ranking(adapter, encoder_id, side, grid, model.centre, model.known, loaded or {}, facts or {})
    figures = {} if held_out is None else judged(made, held_out, texts)
    told = {
        text: {**said, **({"spearman": round(figures[text], 4)} if np.isfinite(figures.get(text, np.nan)) else {})}
        for text, said in model.known.items()
    }
    return replace(made, texts=told)
