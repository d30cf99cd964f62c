"""Ordering images and regions by a text, and learning to."""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8
from tqdm import tqdm

from densevl.api.teaching import ImageSource, TeachableModel
from densevl.api.tuning_kinds import HELD_OUT
from densevl.core.errors import ImageError, UsageError, suggestion
from densevl.core.files import parse_json
from densevl.core.images import as_image
from densevl.core.inputs.contracts import Input
from densevl.core.regions import Regions
from densevl.core.tensor_header import header_texts
from densevl.encoders.ranking.cells import covered, image_cells
from densevl.encoders.ranking.ranking import Ranking
from densevl.regions.proposals import ProposalFile, Proposals, as_regions
from densevl.tasks.ranking import Order, Ranked, ordered
from densevl.weights import location, weights_table

if TYPE_CHECKING:  # what trains is imported when something is learnt
    from densevl.datasets.scored import ScoredLike

__all__ = ["RankableModel", "packaged_ranking"]

TOGETHER = 16
"""Images that are encoded at once."""

HARDLY, DOUBTFUL = "plain cosines hardly know order", "the order may mean nothing"

REGIONS = "regions"
"""What stands for the regions that the model proposes."""


class RankableModel(TeachableModel):
    """The part of :class:`densevl.Model` that orders images and regions by a text."""

    def rank(
        self,
        images: Sequence[ImageSource | Input],
        text: str,
        *,
        adapter: Ranking | str | Path | None = None,
        regions: str | Path | Sequence[Proposals] | None = None,
        failed: list[str] | None = None,
    ) -> Order:
        """Order images, or regions of them, by a text such as "larger"; the best first.

        Args:
            images: files or images, one or more.
            text: such as ``"larger"``, as an adapter was trained for it; any other text is answered, with a remark.
            adapter: a file of ``densevl tune --method ranking-adapter``, or what :meth:`learn_ranking` gave. None takes
                the one that comes with the model where it was trained for the text, and else orders by cosines.
            regions: ``"regions"`` for those that the model proposes; a JSON file of boxes; or boxes, masks or regions
                of each image. None orders whole images.
            failed: gets a message of each image that cannot be read, which is then left out; None lets the first one
                be an error.

        Raises:
            ImageError: where an image cannot be read, or none of them can.
            UsageError: where there is no image or no region, the text is empty, regions do not fit, a score is not
                finite, or the adapter is of another encoder.
            WeightsError: where the file of the adapter is damaged.
        """
        if not isinstance(images, list | tuple):
            raise UsageError("images are given as a list; one image alone has no order")
        if not images:
            raise UsageError("there is no image to order; give one or more")
        if not isinstance(text, str) or not text.strip():
            raise UsageError('the text to order by is empty; give one such as "larger"')
        ranking = self._ranking(adapter, text)
        given = _readers(images, regions)
        found = [one for batch in self._scored(given, text, ranking, failed) for one in batch]
        if not found and failed and len(failed) == len(images):
            raise ImageError(f"none of the {len(images)} images can be read; the first one, {failed[0]}")
        if not found:
            raise UsageError(f"none of the {len(images)} images has a region; give boxes with regions=")
        return ordered(found, text, "cosine" if ranking is None else "adapter", _remarks(found, text, ranking, regions))

    def _ranking(self, adapter: Ranking | str | Path | None, text: str) -> Ranking | None:
        """The adapter that was given, or that comes with the model and knows the text."""
        encoder = self.viewer.encoder
        if adapter is None:
            own = packaged_ranking(encoder.model_id)
            ranking = None if own is None or own.knows(text) is None else own
        else:
            ranking = adapter if isinstance(adapter, Ranking) else Ranking.load(adapter)
            ranking.check_encoder(encoder.model_id)
        if ranking is not None:
            ranking.adapter.to(encoder.device)
        return ranking

    def _scored(
        self, given: Sequence["Given"], text: str, ranking: Ranking | None, failed: list[str] | None
    ) -> Iterator[list[Ranked]]:
        """Images or regions with their scores, some images at a time."""
        encoder = self.viewer.encoder
        if ranking is None:
            words = self.embedder.encoder.embed_texts([text])[0].float().cpu()
        else:
            words = ranking.read(encoder, [text.strip()])[0]
        added, factor = _scale(ranking, text)
        shown = {"desc": "ranking", "unit": "image", "delay": 2, "disable": None}
        with tqdm(total=len(given), **shown) as bar:  # type: ignore[call-overload]
            for start in range(0, len(given), TOGETHER):
                seen = list(self._seen(given[start : start + TOGETHER], failed))
                bar.update(min(TOGETHER, len(given) - start))
                if not seen:
                    continue
                pixels, parts = [image for _, image, _ in seen], [part for *_, part in seen]
                if ranking is None:
                    found = self.pipeline.embed(pixels, parts)
                    scores = torch.cat([vectors.vectors.float().cpu() for vectors in found]) @ words
                else:
                    cells = image_cells(encoder, pixels, ranking.side, ranking.cells)
                    owners = torch.repeat_interleave(torch.tensor([len(part) for part in parts]))
                    shares = torch.cat([covered(part, ranking.cells) for part in parts])
                    scores = ranking.scores(cells[owners], shares, words)
                values = iter((added + factor * scores.double()).tolist())
                yield [
                    Ranked(one.number, one.name, next(values), None if one.regions is None else tuple(box))
                    for one, _, part in seen
                    for box in part.boxes.tolist()
                ]

    def _seen(
        self, given: Sequence["Given"], failed: list[str] | None
    ) -> Iterator[tuple["Given", UInt8[np.ndarray, "H W 3"], Regions]]:
        """Images, decoded, and their regions; the whole image where no regions are wanted."""
        for one in given:
            try:
                image = one.image.read() if isinstance(one.image, Input) else as_image(one.image)
            except ImageError as error:
                if failed is None:
                    raise
                failed.append(str(error))
                continue
            size = (image.shape[0], image.shape[1])
            if one.regions is None:
                part = Regions.whole(size)
            elif isinstance(one.regions, str) and one.regions == REGIONS:
                part = self.propose(image)
            elif isinstance(one.regions, ProposalFile):
                part = one.regions.regions(size, None if one.name is None else Path(one.name).name)
            else:
                part = as_regions(one.regions, size)
            yield one, image, part

    def learn_ranking(
        self,
        examples: "ScoredLike",
        *,
        method: str = "ranking-adapter",
        settings: Mapping[str, Any] | None = None,
        seed: int = 0,
        held_out: float = HELD_OUT,
        work_dir: str | Path | None = None,
        resume: bool = False,
        amp: bool = False,
        loaded: Mapping[str, Any] | None = None,
    ) -> Ranking:
        """Learn to order images and regions by texts, from examples with scores; the model stays as it was.

        Args:
            examples: a file as :func:`densevl.datasets.scored.read_scored` reads it, or what it gave, or a list of
                ``{"image": …, "text": "larger", "score": 3.5, "box" | "mask"?: …}``; several texts are learnt together.
            method: ``"ranking-adapter"``.
            settings: dotted paths and their values, such as ``{"steps": 1000}``.
            seed: of the adapter at first, of the examples of each step, and of those that are held out.
            held_out: part of the images that is kept out to judge by.
            work_dir: where checkpoints and logs go; None for nowhere.
            resume: go on from the last checkpoint of the folder, where there is one.
            amp: compute in bfloat16 where that is safe.
            loaded: further arguments that loaded the model, so that the file says which model it is for.

        Raises:
            ImageError: where an image cannot be read.
            UsageError: where examples or settings cannot be used, all scores of a text are the same, or training
                diverges.
            OutputError: where the folder cannot be written.
        """
        from densevl.datasets.scored import given_scored
        from densevl.tasks.teaching.teacher import examples_digest
        from densevl.training.tuning.methods import method_settings, of_orders
        from densevl.training.tuning.ranking import RankingModel, encode_scored, held_out_images, ranking_of
        from densevl.training.tuning.run import check_same_run, run_tuning

        if not 0 <= held_out < 1:
            raise UsageError(f"held_out is the part of the images that is kept out, in [0, 1); got {held_out}")
        if method not in of_orders():
            raise UsageError(f"method {method!r} learns no order; {suggestion(method, of_orders())}")
        given, encoder = given_scored(examples), self.viewer.encoder
        chosen = method_settings(method, encoder.model_id, settings)
        config = chosen.tunables[0]
        side, cells = int(config.get("side") or min(encoder.image_size)), int(config.get("cells", 16))
        seen = encode_scored(encoder, given, side, cells)
        out = torch.isin(seen.images, torch.tensor(held_out_images(seen, held_out, seed)).long())
        model = RankingModel(seen.only(~out), encoder.embed_texts(seen.texts).float().cpu(), chosen, seed)
        model.to(encoder.device)
        began = time.monotonic()
        steps = chosen.length(model.examples, model.examples)
        if work_dir is not None:
            about = {
                "settings": chosen.facts,
                "steps": steps,
                "seed": seed,
                "encoder": encoder.model_id,
                "examples": examples_digest([one.example for one in given]),
                "scores": [[one.text, one.score] for one in given],
                "held_out": int(out.sum()),
            }
            check_same_run(Path(work_dir), about, resume)
        run_tuning(model, steps, work_dir=work_dir, resume=resume, amp=amp)
        facts = {
            "method": method,
            "settings": chosen.facts,
            "seed": seed,
            "seconds": round(time.monotonic() - began, 1),
            "parameters": sum(one.numel() for one in model.adapter.parameters()),
            "images": len(seen.cells),
            "held_out_examples": int(out.sum()),
            "shown": sorted({"images" if bool((share == 1).all()) else "regions" for share in seen.covered}),
        }
        named = {"name": self.name, **(loaded or {})}
        return ranking_of(model, encoder.model_id, side, seen.only(out) if out.any() else None, named, facts)


def packaged_ranking(model_id: str) -> Ranking | None:
    """The ranking adapter that comes with densevl for an encoder; None where there is none.

    Args:
        model_id: identity of the encoder.
    """
    for entry in weights_table().values():
        if entry.kind == "ranking" and entry.packaged:
            path = location(entry)
            if parse_json(header_texts(path).get("adapter", "{}")).get("model_id") == model_id:
                return Ranking.load(path)
    return None


class Given(NamedTuple):
    """An image to order.

    Attributes:
        number: of the image.
        name: of its file; None where it is none.
        image: the image.
        regions: of it, a file that has them, or :data:`REGIONS`; None for the whole image.
    """

    number: int
    name: str | None
    image: ImageSource | Input
    regions: Any


def _readers(images: Sequence[ImageSource | Input], regions: Any) -> list[Given]:
    """The images with their regions.

    Raises:
        UsageError: where there are regions of another number of images, or a file of them cannot be used.
    """
    if isinstance(regions, Path) or (isinstance(regions, str) and regions != REGIONS):
        regions = ProposalFile(regions, named=len(images) > 1)
    elif regions is not None and not isinstance(regions, str) and len(regions) != len(images):
        raise UsageError(f"give regions for each of the {len(images)} images; got {len(regions)}")
    of_each = isinstance(regions, list | tuple)
    return [
        Given(number, _name(image), image, regions[number] if of_each else regions)
        for number, image in enumerate(images)
    ]


def _name(image: ImageSource | Input) -> str | None:
    if isinstance(image, str | Path):
        return str(image)
    return image.name if isinstance(image, Input) else None


def _scale(ranking: Ranking | None, text: str) -> tuple[float, float]:
    """What brings scores back to the units of the examples of a text: what is added, and a factor before it."""
    known = None if ranking is None else ranking.knows(text)
    if ranking is None or known is None:
        return 0.0, 1.0
    return float(ranking.texts[known]["mean"]), float(ranking.texts[known]["deviation"])


def _remarks(found: Sequence[Ranked], text: str, ranking: Ranking | None, regions: Any) -> list[str]:
    """What must be known to trust an order."""
    lines = []
    if ranking is None:
        lines.append(f"ordered by the cosine with {text!r}, for want of an adapter that knows it; {HARDLY}")
    else:
        if ranking.knows(text) is None:
            lines.append(
                f"the adapter was not trained for {text!r} but for {', '.join(map(repr, ranking.texts))}; {DOUBTFUL}"
            )
        kind = "images" if regions is None else "regions"
        shown = ranking.facts.get("shown", [kind])
        if kind not in shown:
            lines.append(
                f"the adapter was trained on {' and '.join(shown)} and not on {kind}; the order may mean nothing"
            )
    if len(found) == 1:
        lines.append("there is one thing to order")
    return lines
