"""A ranking: an adapter that was trained by scores of images, with the texts that it was trained for; one file.

The file is safetensors: numbers by name, and a header that any text viewer shows::

    format    "densevl ranking 1"
    model     what loads the model that it was trained for
    adapter   model_id of the encoder, the adapter's settings, side of the images and number of cells
    texts     each text of the training with mean and deviation of its scores, and what held-out examples say
    facts     method, settings, seed, examples

Nothing in a file is executed.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from densevl.core.errors import UsageError, WeightsError, shortened
from densevl.core.files import atomic_write, parse_json
from densevl.core.tensor_bytes import tensor_bytes
from densevl.core.vocabulary import normalised
from densevl.encoders.contracts import Encoder
from densevl.encoders.ranking.adapter import RankAdapter
from densevl.encoders.ranking.cells import place_waves

__all__ = ["Ranking"]

FORMAT, VERSION = "densevl ranking", 1

TOGETHER = 64
"""Images whose scores are computed at once."""


@dataclass(frozen=True, eq=False)
class Ranking:
    """An adapter, and the texts that it was trained for.

    Attributes:
        adapter: the adapter.
        model_id: identity of the encoder whose patches and texts it reads.
        side: of the square that images are squashed to, in pixels.
        cells: of the grid that patches are averaged over, down and across.
        centre: the mean of the unit vectors of the texts. Texts such as "larger" and "smaller" lie close together;
            the adapter reads how each differs from the mean. Zeros where there is one text.
        texts: of each text of the training ``mean`` and ``deviation`` of its scores, number of ``examples``, and
            ``spearman`` of held-out ones where there were enough.
        model: what loads the model that it was trained for, such as ``{"name": "mini"}``.
        facts: what else is known of the training, JSON values only.
    """

    adapter: RankAdapter
    model_id: str
    side: int
    cells: int
    centre: Float[Tensor, " d"]
    texts: Mapping[str, Mapping[str, Any]]
    model: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)

    def knows(self, text: str) -> str | None:
        """The text of the training that a text is, whatever its case and blanks; None where it is none."""
        return next((known for known in self.texts if normalised(known) == normalised(text)), None)

    def check_encoder(self, model_id: str) -> None:
        """Refuse the patches of another encoder.

        Raises:
            UsageError: where it is another.
        """
        if model_id != self.model_id:
            raise UsageError(
                f"the ranking adapter was trained on {self.model_id!r} and this encoder is {model_id!r}; load the "
                f"model {self.model.get('name', 'that it was trained on')!r}, or train an adapter with `densevl tune`"
            )

    def read(self, encoder: Encoder, texts: Sequence[str]) -> Float[Tensor, "t d"]:
        """Texts as the adapter reads them."""
        return text_tokens(encoder.embed_texts(texts).float().cpu(), self.centre)

    def tokens(
        self, cells: Float[Tensor, "n p d"], covered: Float[Tensor, "n p"], texts: Float[Tensor, "n d"]
    ) -> Float[Tensor, "n p c"]:
        """What the adapter makes of images or regions, each for its own text.

        Args:
            cells: of the image of each, as :func:`densevl.encoders.ranking.cells.image_cells` gives them.
            covered: the part of each cell that the region covers; ones for a whole image.
            texts: as :meth:`read` gives them.
        """
        return adapted(self.adapter, self.cells, cells, covered, texts)

    @torch.no_grad()
    def scores(
        self, cells: Float[Tensor, "n p d"], covered: Float[Tensor, "n p"], text: Float[Tensor, " d"]
    ) -> Float[Tensor, " n"]:
        """Scores of images or regions for one text, in standard deviations of the scores of the training.

        Args:
            cells: of the image of each.
            covered: the part of each cell that the region covers; ones for a whole image.
            text: as :meth:`read` gives it.
        """
        device = self.adapter.reg_tokens.device
        found = [torch.zeros(0)]
        for start in range(0, len(cells), TOGETHER):
            some = slice(start, start + TOGETHER)
            own = text.expand(len(cells[some]), -1).to(device)
            tokens = self.tokens(cells[some].to(device), covered[some].to(device), own)
            found.append(self.adapter.scores(tokens).float().cpu())
        return torch.cat(found)

    def save(self, path: str | Path) -> None:
        """Write the file, whole or not at all; numbers are kept in float16 where that is their type.

        Raises:
            OutputError: where it cannot be written.
        """
        tensors = {f"adapter.{name}": value.detach().cpu().contiguous() for name, value in self._state().items()}
        said = {"model_id": self.model_id, "side": self.side, "cells": self.cells, **self.adapter.settings}
        header = {"model": dict(self.model), "adapter": said, "texts": self.texts, "facts": dict(self.facts)}
        texts = {name: json.dumps(value, ensure_ascii=False) for name, value in header.items()}
        content = tensor_bytes({**tensors, "centre": self.centre}, {"format": f"{FORMAT} {VERSION}", **texts})
        with atomic_write(path) as temporary:
            temporary.write_bytes(content)

    def _state(self) -> dict[str, Tensor]:
        return dict(self.adapter.state_dict())

    @classmethod
    def load(cls, path: str | Path) -> "Ranking":
        """Read a file that :meth:`save` wrote.

        Raises:
            UsageError: where there is no such file.
            WeightsError: where it is damaged, holds something else, or was written by a later densevl.
        """
        path = Path(path).expanduser()
        if not path.is_file():
            raise UsageError(
                f"there is no ranking adapter {path}; train one with `densevl tune EXAMPLES --method ranking-adapter "
                f"--out {path}`"
            )
        try:
            with safetensors.safe_open(path, "pt") as file:
                said = dict(file.metadata() or {})
                tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118  (no dict)
        except (safetensors.SafetensorError, ValueError, OSError) as error:
            raise WeightsError(
                f"{path} is no ranking adapter, or is damaged ({shortened(str(error))}); train it anew"
            ) from None
        kind, _, version = said.get("format", "").rpartition(" ")
        if kind != FORMAT or not version.isdecimal():
            raise WeightsError(
                f"{path} holds no ranking adapter; give a file of `densevl tune --method ranking-adapter`"
            )
        if int(version) > VERSION:
            raise WeightsError(f"{path} was written by a later densevl (format {version}); update densevl")
        if not all(tensor.isfinite().all() for tensor in tensors.values()):
            raise WeightsError(f"{path} is damaged: it holds values that are not finite; train it anew")
        try:
            model, adapter, texts, facts = (parse_json(said[name]) for name in ("model", "adapter", "texts", "facts"))
            model_id, side, cells = (adapter.pop(name) for name in ("model_id", "side", "cells"))
            made = RankAdapter(**adapter).eval().requires_grad_(False)
            centre = tensors.pop("centre")
            made.load_state_dict({name.removeprefix("adapter."): tensor for name, tensor in tensors.items()})
            return cls(made, str(model_id), int(side), int(cells), centre, dict(texts), model, facts)
        except (UsageError, KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise WeightsError(f"{path} is damaged ({shortened(str(error))}); train it anew") from None


def text_tokens(vectors: Float[Tensor, "t d"], centre: Float[Tensor, " d"]) -> Float[Tensor, "t d"]:
    """Texts as an adapter reads them: by how they differ from the centre, with numbers of about 1 in size.

    Args:
        vectors: unit vectors.
        centre: the mean of the texts of the training; zeros for none.
    """
    return F.normalize(vectors - centre, dim=1) * vectors.shape[1] ** 0.5


def adapted(
    adapter: RankAdapter,
    grid: int,
    cells: Float[Tensor, "n p d"],
    covered: Float[Tensor, "n p"],
    texts: Float[Tensor, "n d"],
) -> Float[Tensor, "n p c"]:
    """What an adapter makes of images or regions: a region is its image, faded where the region is not.

    Args:
        adapter: the adapter.
        grid: cells down and across.
        cells: of the image of each.
        covered: the part of each cell that the region covers.
        texts: of each, as :func:`text_tokens` gives them.
    """
    places = covered[..., None] * place_waves(grid).to(cells) if adapter.settings["places"] else None
    return adapter(cells * covered[..., None], texts[:, None], places)
