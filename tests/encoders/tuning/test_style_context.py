"""Learnt tokens that the style and content of images shift; their arithmetic is in the golden tests."""

import pytest
import torch

from densevl.core.errors import UsageError
from densevl.encoders.tuning.contracts import ClassTexts, Look
from densevl.encoders.tuning.style_context import StyleContext

NAMES = ["cat", "potted plant"]


@pytest.fixture(scope="module")
def texts(small_clip):
    return StyleContext(small_clip)


@pytest.fixture(scope="module")
def look(small_clip):
    draw = torch.Generator().manual_seed(0)
    return Look(torch.randn(3, 64, generator=draw), torch.rand(3, 3, 2, 768, generator=draw))


def test_each_image_has_texts_of_its_own_as_if_it_were_alone(texts, look):
    assert isinstance(texts, ClassTexts)
    found = texts.class_vectors(NAMES, look)
    for row in range(3):
        alone = texts.class_vectors(NAMES, Look(look.vectors[row : row + 1], look.states[row : row + 1]))
        torch.testing.assert_close(found[row : row + 1], alone, atol=1e-6, rtol=1e-5)
    assert (found[0] - found[1]).abs().max() > 1e-3


def test_without_a_shift_the_text_is_that_of_its_words(small_clip, look):
    texts = StyleContext(small_clip)
    for parameter in texts.shift.rho.parameters():
        torch.nn.init.zeros_(parameter)
    expected = small_clip.embed_texts(NAMES, ["a photo of a {}."]).expand(3, -1, -1)
    torch.testing.assert_close(texts.class_vectors(NAMES, look), expected, atol=2e-6, rtol=1e-5)


def test_settings_build_it_again(small_clip, texts, look):
    again = StyleContext(small_clip, **texts.settings)
    again.load_state_dict(texts.state_dict())
    torch.testing.assert_close(again.class_vectors(NAMES, look), texts.class_vectors(NAMES, look))


def test_vectors_without_tokens_have_the_mean_shift_of_those_that_were_learnt_of(small_clip, look):
    texts = StyleContext(small_clip)
    before = texts.usual.clone()
    with torch.no_grad():
        texts.class_vectors(NAMES, look)
    assert torch.equal(texts.usual, before)
    for rows in (slice(0, 1), slice(1, 3)):
        texts.class_vectors(NAMES, Look(look.vectors[rows], look.states[rows])).sum().backward()
    shifts = texts.shift(look.states).detach()
    torch.testing.assert_close(texts.usual.detach(), (shifts[0] + shifts[1:].mean(0)) / 2)
    assert texts.usual.grad is None
    found = texts.class_vectors(NAMES, Look(look.vectors))
    shifted = texts.texts.units_each(NAMES, (texts.vectors + texts.usual).expand(3, -1, -1))
    torch.testing.assert_close(found, shifted)


def test_no_look_at_all_is_refused(texts):
    with pytest.raises(UsageError, match="depend on images, and none is looked at"):
        texts.class_vectors(NAMES)
