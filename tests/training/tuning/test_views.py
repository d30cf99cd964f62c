"""Views of images: each by itself, drawn by a generator, of the same size."""

import pytest
import torch

from densevl.core.errors import UsageError
from densevl.training.tuning.views import VIEWS, changed


@pytest.mark.parametrize("view", VIEWS)
def test_each_image_is_changed_by_itself_and_the_same_again_by_the_same_draw(view):
    images = torch.rand(1, 3, 24, 32, generator=torch.Generator().manual_seed(0)).expand(4, -1, -1, -1)
    state = torch.get_rng_state()
    found = changed(images, view, torch.Generator().manual_seed(1))
    assert torch.equal(torch.get_rng_state(), state)
    assert found.shape == images.shape
    assert found.min() >= 0
    assert found.max() <= 1
    assert torch.equal(found, changed(images, view, torch.Generator().manual_seed(1)))
    alike = sum(torch.equal(found[0], other) for other in found[1:])
    assert alike == (3 if view == "same" else 0)
    assert torch.equal(found, images) == (view == "same")


def test_an_unknown_view_is_refused():
    with pytest.raises(UsageError, match=r"view 'mocco' is unknown; did you mean moco\?"):
        changed(torch.rand(1, 3, 8, 8), "mocco", torch.Generator())
