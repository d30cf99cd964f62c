"""Parts of speech by NLTK's averaged perceptron, where NLTK and its model are installed.

Its model is a JSON from NLTK 3.9 on; older ones were pickles, and are not read.
"""

from typing import Any

from densevl.core.errors import UsageError

try:
    from nltk.tag.perceptron import PerceptronTagger
    from nltk.tokenize import TreebankWordTokenizer
except ImportError as error:
    raise UsageError("phrases by 'nltk' need NLTK; install it: pip install 'nltk>=3.9'") from error

__all__ = ["NltkTagger"]


class NltkTagger:
    """Tags with NLTK.

    Args:
        tagger: a trained ``PerceptronTagger``; None for the English one of NLTK's data.

    Raises:
        UsageError: where its data are not installed.
    """

    def __init__(self, tagger: Any = None) -> None:
        try:
            self.tagger = PerceptronTagger() if tagger is None else tagger
        except LookupError as error:
            raise UsageError(
                "NLTK's English tagger is not installed; fetch it: "
                "python -m nltk.downloader averaged_perceptron_tagger_eng"
            ) from error
        self.tokenizer = TreebankWordTokenizer()

    def __call__(self, text: str) -> list[tuple[str, str]]:
        """The words of a text and their tags."""
        return [(str(word), str(tag)) for word, tag in self.tagger.tag(self.tokenizer.tokenize(text))]
