"""VR-LwF: what images say of random strings of tokens stays as it was; no earlier image or class is kept.

Source: Ding et al., Don't Stop Learning: Towards Continual Learning for the CLIP Model, 2022,
https://arxiv.org/abs/2207.09248, which has no code; the strings and the loss are those of Zheng et al., Preventing
Zero-Shot Transfer Degradation in Continual Learning of Vision-Language Models, ICCV 2023,
https://arxiv.org/abs/2303.06628, reference code Thunderbeee/ZSCL at commit b96e714. With the cosines M of the images of
a batch and the replayed vocabulary times the factor s, now and (M') by the earlier model::

    D(M', M) = T² mean_i −Σ_j softmax(M'_i / T)_j log softmax(M_i / T)_j          T = 2
    L = D(M', M) + D(M'ᵀ, Mᵀ)

The vocabulary is 1000 strings of 10 random tokens between the start and the end of a text. Both sides are encoded by
the model as it is, and as it was before it was tuned. Where we differ: the strings are drawn once, by a seed.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from densevl.core.errors import UsageError
from densevl.core.gradients import gradients
from densevl.encoders.clip import CLIPEncoder
from densevl.encoders.texts.open_clip import OpenClipTexts
from densevl.training.tuning.contracts import Step

__all__ = ["VRLwF", "distillation", "random_strings"]


def distillation(old: Float[Tensor, "n m"], new: Float[Tensor, "n m"], temperature: float = 2.0) -> Float[Tensor, ""]:
    """Cross-entropy of softened rows of logits with those of an earlier model, mean over the rows.

    Args:
        old: logits by the earlier model.
        new: logits by the current one.
        temperature: what both are divided by; the term is multiplied by its square.
    """
    wanted = (old / temperature).softmax(1)
    return -(wanted * (new / temperature).log_softmax(1)).sum(1).mean() * temperature**2


def random_strings(encoder: CLIPEncoder, count: int, length: int, seed: int) -> Int[Tensor, "n t"]:
    """Random tokens between the start and the end of a text.

    Args:
        encoder: its text tower reads them.
        count: of the strings.
        length: tokens of each, without start and end.
        seed: of the tokens.

    Raises:
        UsageError: where the text tower is none of open_clip, or has no such tokens.
    """
    tower = encoder.text
    reader = tower.reader if isinstance(tower, OpenClipTexts) else None
    if not isinstance(tower, OpenClipTexts) or reader is None or reader.start is None or reader.end is None:
        raise UsageError(
            "vr-lwf replays strings of random tokens, which wants a text tower of open_clip whose texts have a start "
            f"and an end; {encoder.model_id} has another one"
        )
    if length + 2 > tower.context:
        raise UsageError(f"vr-lwf: a text has up to {tower.context - 2} tokens here; got length={length}")
    around = torch.tensor([reader.start, reader.end, reader.pad])
    allowed = torch.arange(reader.vocab_size)
    allowed = allowed[~torch.isin(allowed, around)]
    draw = torch.Generator().manual_seed(seed)
    drawn = allowed[torch.randint(len(allowed), (count, length), generator=draw)]
    start, end = (torch.full((count, 1), value) for value in (reader.start, reader.end))
    padding = torch.full((count, tower.context - length - 2), reader.pad)
    return torch.cat([start, drawn, end, padding], dim=1)


class VRLwF(nn.Module):
    """Distillation of what images say of a replayed vocabulary.

    Args:
        weight: factor of the term.
        strings: in the vocabulary.
        length: tokens of a string.
        temperature: T.
        seed: of the tokens.

    Attributes:
        old: unit vectors of the strings by the earlier model; empty before :meth:`start`.

    Raises:
        UsageError: where a number is not positive.
    """

    needs = ("before",)
    old: Tensor

    def __init__(
        self, weight: float = 1.0, strings: int = 1000, length: int = 10, temperature: float = 2.0, seed: int = 0
    ) -> None:
        super().__init__()
        if strings < 2 or length < 1 or not temperature > 0:
            raise UsageError(
                "vr-lwf: there are two strings or more of a token or more, and the temperature is above 0; got "
                f"strings={strings}, length={length}, temperature={temperature:g}"
            )
        self.weight, self.strings, self.length, self.temperature = weight, strings, length, temperature
        self.seed = seed
        self.register_buffer("old", torch.zeros(0), persistent=False)
        self._tokens: Tensor | None = None

    def start(self, encoder: CLIPEncoder) -> None:
        """Read the vocabulary by the encoder as it is before it is tuned.

        Raises:
            UsageError: where its text tower does not take strings of tokens.
        """
        self._tokens = random_strings(encoder, self.strings, self.length, self.seed).to(encoder.device)
        with torch.no_grad():
            self.old = self._read(encoder)

    def forward(self, step: Step, /) -> Float[Tensor, ""]:
        """The term of a step.

        Raises:
            UsageError: where nothing is known of the earlier model.
        """
        if step.before is None or step.encoder is None or self._tokens is None:
            raise UsageError("vr-lwf stays near an earlier model, and nothing is known of one")
        with gradients():
            vocabulary = self._read(step.encoder)
        new = step.temperature * step.look.vectors @ vocabulary.mT
        old = step.temperature * step.before[0] @ self.old.mT
        both = distillation(old, new, self.temperature) + distillation(old.mT, new.mT, self.temperature)
        return self.weight * both

    def _read(self, encoder: CLIPEncoder) -> Float[Tensor, "n d"]:
        assert self._tokens is not None
        return F.normalize(encoder.text.encode(self._tokens).float(), dim=1)
