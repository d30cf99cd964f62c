"""What is learnt beside the weights of an encoder, which cannot say it."""

from typing import NoReturn

from torch import nn

from densevl.core.errors import UsageError
from densevl.encoders.clip import CLIPEncoder

__all__ = ["BesideWeights"]


class BesideWeights(nn.Module):
    """A tunable that cannot be folded; free texts and images stay as they were, unless it attaches itself to a tower.

    Attributes:
        learnt_what: what is learnt, for errors.
    """

    foldable = False
    learnt_what = "a learnt context"

    def attach(self, encoder: CLIPEncoder) -> None:
        """Leave free texts as they were: they are compared with no image of their own."""

    def fold(self, encoder: CLIPEncoder) -> NoReturn:
        """Refuse: no weights say it.

        Raises:
            UsageError: always.
        """
        raise UsageError(
            f"{self.learnt_what} is no change of weights and cannot be folded into them; keep it as a delta"
        )
