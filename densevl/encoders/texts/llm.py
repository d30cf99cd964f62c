"""Texts by a large language model: LLM2CLIP's, FLAME's, and any decoder of transformers with an adapter.

The model reads a caption inside a *template*. Its vector is the mean of the states of the caption (``pooling="mean"``:
LLM2Vec, from which LLM2CLIP's model is trained; no token of the template before it counts), or the state of the last
token (``"last"``). A template may go on with several *facets*: each asks for one aspect, and is read at its last token;
the mean over the facets is the vector of the text. The attention is decoupled: the tokens of a facet see the caption
and their own facet, not the others, so that one pass gives what a pass for each facet would.

Sources: Huang et al., LLM2CLIP, 2024, https://arxiv.org/abs/2411.04997; BehnamGhader et al., LLM2Vec, COLM 2024,
https://arxiv.org/abs/2404.05961; Cao et al., FLAME: Frozen Large Language Models Enable Data-Efficient Language-Image
Pre-training, CVPR 2025, https://arxiv.org/abs/2411.11927. Positions run on from facet to facet, as in FLAME's code.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float32, Int
from torch import Tensor, nn

from densevl.core.errors import UsageError, suggestion
from densevl.encoders.texts.adapter import TextAdapter
from densevl.encoders.texts.language_model import LanguageModel
from densevl.encoders.texts.tokenizers import fit_texts, too_long
from densevl.weights.table import DATA

__all__ = ["LLM_TEMPLATES", "LLMTemplate", "LLMTexts", "build_llm_texts", "llm_template"]

NO_TOKEN = -1
"""Fills up the ids of shorter texts; it never enters the model."""


@dataclass(frozen=True)
class LLMTemplate:
    """The text that a language model reads around a caption, and where its vector is read.

    Attributes:
        template: with ``{}`` where the caption goes.
        facets: ends of the template that do not see each other; none for a vector of the template itself.
        pooling: ``"mean"`` over the caption and what follows it, or ``"last"``, the last token; of facets, each.
        sentence: end a caption with a full stop and write its double quotes as single ones, as FLAME does.
    """

    template: str = "{}"
    facets: tuple[str, ...] = ()
    pooling: str = "mean"
    sentence: bool = False

    def __post_init__(self) -> None:
        if self.template.count("{}") != 1:
            raise UsageError(f"the template of a language model holds {{}} once; got {self.template!r}")
        if self.pooling not in ("mean", "last"):
            raise UsageError(f"the vector of a text is read by pooling mean or last; got {self.pooling!r}")

    def fill(self, caption: str) -> str:
        """The template with a caption."""
        caption = caption.strip()
        if self.sentence and caption:
            caption = (caption if caption[-1] in ".?\"'" else f"{caption}.").replace('"', "'")
            caption = f"{caption[:-1]}." if caption[-1] == "?" else caption
        return self.template.replace("{}", caption)


LLM_TEMPLATES: dict[str, Mapping[str, Any]] = json.loads((DATA / "llm_templates.json").read_text(encoding="utf-8"))[
    "templates"
]
"""Arguments of templates by name."""


def llm_template(template: str | Mapping[str, Any]) -> LLMTemplate:
    """A template by its name, or by its arguments.

    Raises:
        UsageError: where the name is unknown, or an argument is.
    """
    if isinstance(template, str):
        if template not in LLM_TEMPLATES:
            raise UsageError(f"template {template!r} is unknown; {suggestion(template, LLM_TEMPLATES)}")
        template = LLM_TEMPLATES[template]
    try:
        return LLMTemplate(**{**template, "facets": tuple(template.get("facets", ()))})
    except TypeError as error:
        raise UsageError(f"a template of a language model takes other arguments: {error}") from None


class LLMTexts(nn.Module):
    """A text tower that is a language model and an adapter.

    The weights of the adapter are those of the encoder's own file. The language model lies in a folder of its own,
    and is loaded when the first text needs it: images, and texts that the cache knows, do without. Its dtype is that
    of its files, whatever that of the encoder.

    Args:
        llm: the language model.
        template: what it reads around a caption.
        adapter: from its vectors to the joint space; None where they are the joint space.
        causal: a token sees no later one; where False, all of its text.
        unit: bring its vectors to unit length before the adapter.
        context: tokens of a text in its template at most, start and end included; facets come on top.
        output_dim: width of the joint space, where it is known before the language model is.
    """

    def __init__(
        self,
        llm: LanguageModel,
        template: LLMTemplate,
        adapter: nn.Module | None = None,
        causal: bool = False,
        unit: bool = True,
        context: int = 512,
        output_dim: int | None = None,
    ) -> None:
        super().__init__()
        self.llm, self.template, self.causal, self.unit, self.context = llm, template, causal, unit, context
        self.adapter, self.output_dim = adapter, output_dim
        # Where the module is, even without an adapter; on the meta device there is nothing to compute it from.
        self.register_buffer("place", torch.empty(0, device="cpu"), persistent=False)

    @property
    def device(self) -> torch.device:
        """Where texts are embedded."""
        return self.get_buffer("place").device

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the adapter."""
        return self.get_buffer("place").dtype

    @property
    def identity(self) -> str:
        """What decides the vectors of the language model: its files, the template, and how it attends."""
        read = json.dumps([asdict(self.template), self.causal]).encode()
        return f"{self.llm.identity}-{hashlib.sha256(read).hexdigest()[:8]}"

    def tokenize(self, sentences: Sequence[str], cut: bool = False) -> Int[Tensor, "q n"]:
        """Ids of sentences in the template, without facets; shorter ones are filled up with -1.

        Args:
            sentences: what is tokenised.
            cut: drop the end of a caption that is too long; the template stays whole.

        Raises:
            TextTooLong: where a sentence in the template exceeds the context and is not to be cut.
            WeightsError: where the language model is not on this machine.
        """
        rows = [self._ids(sentence) for sentence in sentences]
        for number, (sentence, ids) in enumerate(zip(sentences, rows, strict=True)):
            if len(ids) > self.context:
                if not cut:
                    raise too_long(sentence, len(ids), self.context)
                rows[number] = self._ids(self._shortened(sentence))
        longest = max(map(len, rows))
        return torch.tensor([[*ids, *[NO_TOKEN] * (longest - len(ids))] for ids in rows])

    def fit(self, texts: Sequence[str], template: str = "{}") -> tuple[list[str], int]:
        """Texts without the last words that would not fit in the context, and how many of them lost words."""
        return fit_texts(lambda text: len(self._ids(text)) <= self.context, texts, template)

    def states(self, tokens: Int[Tensor, "q n"]) -> Float32[Tensor, "q c"]:
        """Vectors of the language model itself, which depend on nothing but :attr:`identity`.

        Args:
            tokens: as :meth:`tokenize` gives them.

        Raises:
            WeightsError: where the language model is not on this machine, or no whole one.
        """
        tokens = tokens[:, : int((tokens != NO_TOKEN).sum(1).max())]
        ids, owner = self._with_facets(tokens)
        # A token without owner fills up: it sees itself, since a row of nothing has no softmax.
        sees = (owner[:, :, None] == owner[:, None]) | (owner[:, None] == 0)
        sees &= (owner >= 0)[:, None]
        if self.causal or self.template.facets:
            sees &= torch.ones_like(sees[0]).tril()
        sees |= torch.eye(ids.shape[1], dtype=torch.bool, device=ids.device)
        places = ((owner >= 0).cumsum(1) - 1).clamp(min=0)
        states = self.llm.states(ids.clamp(min=0), sees, places).float()
        return torch.stack(
            [_pooled(states, owner == part, self.template.pooling, skip) for part, skip in self._parts()]
        ).mean(0)

    def adapt(self, vectors: Float[Tensor, "q c"]) -> Float[Tensor, "q d"]:
        """The joint space, from vectors of the language model; not normalised.

        Raises:
            UsageError: where the encoder takes vectors of another width.
        """
        x = F.normalize(vectors, dim=-1) if self.unit else vectors
        width = self.output_dim if self.adapter is None else next(self.adapter.parameters()).shape[-1]
        if width not in (None, x.shape[-1]):
            raise UsageError(
                f"the language model {self.llm.name} gives vectors of {x.shape[-1]} numbers, and the encoder takes "
                f"{width}: it was trained with another one"
            )
        return x if self.adapter is None else self.adapter(x.to(self.dtype))

    def encode(self, tokens: Int[Tensor, "q n"]) -> Float[Tensor, "q d"]:
        """Embeddings of tokenised texts, not normalised; gradients reach the adapter alone."""
        return self.adapt(self.states(tokens))

    forward = encode

    def _ids(self, sentence: str) -> list[int]:
        tokenizer = self.llm.tokenizer
        ids = tokenizer.encode(self.template.fill(sentence))
        before = [] if tokenizer.start is None else [tokenizer.start]
        return [*before, *ids, *([] if tokenizer.end is None else [tokenizer.end])]

    def _shortened(self, sentence: str) -> str:
        """The longest beginning of a sentence that fits."""
        fits, over = 0, len(sentence)
        while over - fits > 1:
            middle = (fits + over) // 2
            fits, over = (middle, over) if len(self._ids(sentence[:middle])) <= self.context else (fits, middle)
        return sentence[:fits]

    @cached_property
    def _facets(self) -> list[list[int]]:
        return [self.llm.tokenizer.encode(facet) for facet in self.template.facets]

    @cached_property
    def _before(self) -> int:
        """Tokens before the caption."""
        head = self.template.template.partition("{}")[0]
        return len(self.llm.tokenizer.encode(head) if head else []) + (self.llm.tokenizer.start is not None)

    def _with_facets(self, tokens: Int[Tensor, "q n"]) -> tuple[Int[Tensor, "q m"], Int[Tensor, "q m"]]:
        """Ids with those of the facets behind, and the part that each belongs to: 0, a facet from 1, or -1 for none."""
        count = len(tokens)
        facets = torch.tensor([id for facet in self._facets for id in facet], dtype=torch.long, device=tokens.device)
        parts = [part for part, facet in enumerate(self._facets, 1) for _ in facet]
        owners = torch.tensor(parts, dtype=torch.long, device=tokens.device)
        ids = torch.cat([tokens, facets.expand(count, -1)], dim=1)
        caption = torch.where(tokens == NO_TOKEN, -1, 0)
        return ids, torch.cat([caption, owners.expand(count, -1)], dim=1)

    def _parts(self) -> list[tuple[int, int]]:
        """The parts whose vectors are averaged, each with the tokens at its beginning that do not count."""
        return [(part, 0) for part in range(1, len(self._facets) + 1)] or [(0, self._before)]


def _pooled(
    states: Float32[Tensor, "q n c"], part: Bool[Tensor, "q n"], pooling: str, skip: int
) -> Float32[Tensor, "q c"]:
    """One vector of a part of each text: the mean behind its first tokens, or its last token."""
    number = part.cumsum(1)
    if pooling == "last":
        chosen = part & (number == part.sum(1, keepdim=True))
    else:
        chosen = part & (number > skip)
        chosen = torch.where(chosen.any(1, keepdim=True), chosen, part)
    weights = chosen / chosen.sum(1, keepdim=True)
    return (states * weights[:, :, None]).sum(1)


def build_llm_texts(cfg: Mapping[str, Any], embed_dim: int, state: Mapping[str, Tensor], quick_gelu: bool) -> LLMTexts:
    """The text tower of an architecture whose ``text_cfg`` has the tower ``llm``.

    Args:
        cfg: ``llm``, a folder or a repository on the hub; ``template``, see :func:`llm_template`; ``layer``,
            ``causal``, ``unit`` and ``context_length``, see :class:`LLMTexts` and
            :class:`densevl.encoders.texts.language_model.LanguageModel`; ``adapter``, arguments of
            :class:`densevl.encoders.texts.adapter.TextAdapter` but for the width of the joint space, or nothing.
        embed_dim: width of the joint space.
        state: not used: an architecture says what its adapter is.
        quick_gelu: not used: adapters have GELU.

    Raises:
        UsageError: where the template is unknown, or a setting is.
    """
    settings = dict(cfg)
    adapter = settings.pop("adapter", None)
    return LLMTexts(
        LanguageModel(settings.pop("llm"), settings.pop("layer", None)),
        llm_template(settings.pop("template", "bare")),
        None if adapter is None else TextAdapter(joint=embed_dim, **adapter),
        context=settings.pop("context_length", 512),
        output_dim=embed_dim,
        **settings,
    )
