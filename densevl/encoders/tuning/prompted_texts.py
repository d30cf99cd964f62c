"""A text tower whose texts stand among learnt tokens, and its vectors of class names.

Sources: Zhou et al., Learning to Prompt for Vision-Language Models, IJCV 2022, https://arxiv.org/abs/2109.01134: learnt
vectors take the place of the embeddings of the words around a name.

A text reads ``start, learnt tokens, words that stay, NAME, ending, end`` where the name comes at the end; in the middle
it comes between the two halves of the learnt tokens, and at the front before all of them. The tower is causal, so that
whatever follows the end of the longest text is left out, which changes nothing.
"""

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int
from torch import Tensor

from densevl.core.errors import TextTooLong, UsageError, shortened
from densevl.encoders.contracts import TextTower
from densevl.encoders.texts.open_clip import OpenClipTexts
from densevl.encoders.texts.tokenizers import check_vocabulary, fit_texts, token_ids
from densevl.encoders.tuning.learnt_tokens import LearntTokens, check_depth

__all__ = ["PLACES", "PromptedTexts", "opening"]

PLACES = ("end", "middle", "front")
"""Where a name stands among the learnt tokens."""

SENTENCES_AT_ONCE = 2048
LISTS_KEPT = 4
"""Lists of names whose ids are kept: tuning asks for the same ones at each step."""


class PromptedTexts:
    """A text tower with learnt tokens, as :class:`densevl.encoders.contracts.LearntTemplate`.

    Args:
        tower: a causal text tower that is read at the end of a text, as those of CLIP are; it is referred to, not
            copied.
        learnt: the learnt tokens, as wide as those of the tower.
        before: words that stay, between the learnt tokens and the text.
        ending: what follows the text, such as a full stop.
        place: where the text stands, one of :data:`PLACES`, or the number of learnt tokens before it; other than at the
            end, no words may stay.

    Attributes:
        templates: ``("{}",)``: the learnt tokens take the place of any template.

    Raises:
        UsageError: where the tower is of another kind, or has fewer blocks than have learnt tokens.
    """

    templates = ("{}",)

    def __init__(
        self,
        tower: TextTower,
        learnt: LearntTokens,
        before: str = "",
        ending: str = ".",
        place: str | int = "end",
    ) -> None:
        self.tower = causal(tower)
        named = {"end": learnt.count, "middle": learnt.count // 2, "front": 0}
        early = named.get(place, -1) if isinstance(place, str) else place
        if early not in range(learnt.count + 1) or (before and place != "end"):
            raise UsageError(
                f"a name stands at the {', '.join(PLACES)} of the learnt tokens, and words that stay allow the end "
                f"alone; got place={place!r} and the words {before!r}"
            )
        check_depth(learnt.depth, len(self.tower.tower.transformer.resblocks), "text")
        assert self.tower.reader is not None
        self.reader, self.learnt = self.tower.reader, learnt
        self.before, self.ending, self.early = before, ending, early
        self.start = 0 if self.reader.start is None else 1
        self.behind = len(self.reader.encode(ending)) if ending else 0
        self._kept: dict[tuple[str, ...], Tensor] = {}

    @property
    def context(self) -> int:
        """Tokens that a text may have beside the learnt ones that enter with it, start and end included."""
        return self.tower.context - self.learnt.count

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.tower.device

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the arithmetic."""
        return self.tower.dtype

    def tokenize(self, sentences: Sequence[str], cut: bool = False) -> Int[Tensor, "q n"]:
        """Token ids of texts in their words, without places for learnt tokens.

        Args:
            sentences: class names or other texts.
            cut: keep the beginning of a text that is too long.

        Raises:
            TextTooLong: where a text has more tokens than the context leaves beside the learnt ones, and is not to be
                cut.
        """
        rows = []
        for sentence in sentences:
            try:
                rows.append(token_ids(self.reader, [self._framed(sentence)], self.context, cut))
            except TextTooLong as error:
                raise TextTooLong(
                    f"{shortened(sentence)!r} has {error.tokens} tokens with the words around it, start and end "
                    f"included, and beside {self.learnt.count} learnt ones the text encoder takes {self.context}; "
                    "shorten the name, or learn fewer tokens",
                    error.tokens,
                    self.context,
                ) from None
        return torch.cat(rows)

    def fit(self, texts: Sequence[str], template: str = "{}") -> tuple[list[str], int]:
        """Texts without the last words that would not fit; the learnt tokens take the place of the template."""
        around = sum(one is not None for one in (self.reader.start, self.reader.end))
        fits = lambda text: len(self.reader.encode(self._framed(text))) + around <= self.context  # noqa: E731
        return fit_texts(fits, texts, "{}")

    def encode(self, tokens: Int[Tensor, "q n"], first: Float[Tensor, "*q m c"] | None = None) -> Float[Tensor, "q d"]:
        """Embeddings of tokenised texts among learnt tokens, not normalised.

        Args:
            tokens: as :meth:`tokenize` gives them.
            first: learnt tokens that enter, of all texts or of each by itself; None for those that the tower has.
        """
        ends = self.tower.ends(tokens)
        x = self.tower.embedded(tokens[:, : int(ends.max()) + 1])
        first = (self.learnt.of(0) if first is None else first).to(x).expand(len(x), -1, -1)
        order = self._order(ends, x.shape[1])
        x = torch.cat([first, x], dim=1).gather(1, order[..., None].expand(-1, -1, x.shape[2]))
        return self.tower.run(x, ends + self.learnt.count, partial(self.learnt.renewed, start=self.start))

    def units(self, names: Sequence[str], first: Float[Tensor, "k m c"] | None = None) -> Float32[Tensor, "k d"]:
        """Unit vectors of class names among learnt tokens.

        Args:
            names: of the classes; an underscore in one is read as a space.
            first: learnt tokens of each class by itself; None for those that the tower has.

        Raises:
            UsageError: where there is no name, or one is blank or too long.
        """
        return F.normalize(self.raw(names, first).float(), dim=1)

    def raw(self, names: Sequence[str], first: Float[Tensor, "k m c"] | None = None) -> Float[Tensor, "k d"]:
        """Vectors of class names among learnt tokens, not normalised.

        Args:
            names: of the classes; an underscore in one is read as a space.
            first: learnt tokens of each class by itself; None for those that the tower has.

        Raises:
            UsageError: where there is no name, or one is blank or too long.
        """
        ids = self._ids(names)
        own = [None] * len(ids) if first is None else first.split(SENTENCES_AT_ONCE)
        pairs = zip(ids.split(SENTENCES_AT_ONCE), own, strict=False)
        return torch.cat([self.encode(*pair) for pair in pairs])

    def units_each(self, names: Sequence[str], first: Float[Tensor, "b m c"]) -> Float32[Tensor, "b k d"]:
        """Unit vectors of class names among the learnt tokens of each image by itself.

        Args:
            names: of the classes; an underscore in one is read as a space.
            first: learnt tokens of each image.

        Raises:
            UsageError: where there is no name, or one is blank or too long.
        """
        ids = self._ids(names)
        found = [
            self.encode(ids.repeat(len(some), 1), some.repeat_interleave(len(ids), 0))
            for some in first.split(max(1, SENTENCES_AT_ONCE // len(ids)))
        ]
        return F.normalize(torch.cat(found).float(), dim=1).unflatten(0, (len(first), len(ids)))

    def _order(self, ends: Int[Tensor, " q"], length: int) -> Int[Tensor, "q m"]:
        """Places among learnt tokens and then those of the text, in the order in which they are read."""
        count, early = self.learnt.count, self.early
        keys = torch.arange(-count, length, device=ends.device, dtype=torch.float).repeat(len(ends), 1)
        keys[:, :early] = self.start - 0.5
        keys[:, early:count] = (ends - self.behind)[:, None] - 0.5
        return keys.argsort(dim=1, stable=True)

    def _framed(self, text: str) -> str:
        return f"{self.before} {text}{self.ending}".strip()

    def _ids(self, names: Sequence[str]) -> Int[Tensor, "k n"]:
        """Token ids of names, kept for a few lists of them."""
        key = tuple(names)
        if key not in self._kept:
            if isinstance(names, str) or not names or not all(name.strip() for name in names):
                raise UsageError(f"class texts want at least one name, and none that is blank; got {list(names)!r}")
            while len(self._kept) >= LISTS_KEPT:
                self._kept.pop(next(iter(self._kept)))
            with torch.inference_mode(False):  # so that what asks for gradients later can use them
                self._kept[key] = self.tokenize([name.replace("_", " ") for name in names])
        return self._kept[key].to(self.device)


def causal(tower: TextTower) -> OpenClipTexts:
    """A text tower that learnt tokens can stand in.

    Raises:
        UsageError: where it is of another kind.
    """
    if isinstance(tower, PromptedTexts):
        raise UsageError("the texts of this encoder stand among learnt tokens already; tune an encoder without them")
    if not isinstance(tower, OpenClipTexts) or not tower.short_context or tower.reader is None:
        raise UsageError(
            f"learnt tokens stand in a causal text tower that is read at the end of a text, as that of CLIP is; this "
            f"one ({type(getattr(tower, 'tower', tower)).__name__}) is another; tune what needs no texts, such as "
            "visual-tokens or singular-values"
        )
    check_vocabulary(tower.reader, len(tower.tower.token_embedding.weight))
    return tower


def opening(tower: OpenClipTexts, words: str, count: int | None) -> tuple[Float[Tensor, "m c"], str]:
    """The first tokens of words as vectors, and the words that follow them.

    Args:
        tower: whose tokens they are.
        words: such as ``"a photo of a"``.
        count: tokens that are wanted, which end with a word; None for all.

    Raises:
        UsageError: where the words have fewer tokens, or they end within a word.
    """
    assert tower.reader is not None
    ids = tower.reader.encode(words)
    ends: list[int] = []
    for word in words.split():
        ends.append((ends[-1] if ends else 0) + len(tower.reader.encode(word)))
    count = len(ids) if count is None else count
    if count not in ends:
        raise UsageError(
            f"{words!r} cannot give {count} learnt tokens: its words end after {', '.join(map(str, ends)) or 'none'}"
        )
    rest = " ".join(words.split()[ends.index(count) + 1 :])
    tokens = torch.tensor(ids[:count], device=tower.device)
    return tower.embedded(tokens).detach().float().clone(), rest
