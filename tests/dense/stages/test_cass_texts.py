import pytest
import torch
import torch.nn.functional as F

from densevl.core.errors import UsageError
from densevl.core.features import DenseFeatures, TextEmbeddings
from densevl.core.vocabulary import Vocabulary
from densevl.dense.stages.cass_texts import CASSTexts


def case(count=5, grid=(3, 4), windows=2):
    draw = torch.Generator().manual_seed(0)
    vectors = F.normalize(torch.randn(count, 6, generator=draw) + 1, dim=1)
    features = DenseFeatures(
        torch.randn(windows, 6, *grid, generator=draw), 8, "toy", whole=torch.randn(windows, 6, generator=draw)
    )
    words = tuple((f"class {k}",) for k in range(count))
    texts = TextEmbeddings(vectors, torch.arange(count), Vocabulary("toy", words), "toy", "none")
    cosines = torch.einsum("qd,ndhw->nqhw", vectors, F.normalize(features.grid, dim=1))
    return cosines, features, texts


@pytest.mark.parametrize(("height", "groups"), [(0.0, [[0], [1], [2], [3], [4]]), (9.0, [[0, 1, 2, 3, 4]])])
def test_by_its_definition(height, groups):
    cosines, features, texts = case()
    found = CASSTexts(alpha=0.3, share=0.25, height=height)(cosines, features, texts=texts)
    for n in range(2):
        whole = F.normalize(features.whole[n], dim=0)
        patches = [F.normalize(one, dim=0) for one in features.grid[n].flatten(1).T]
        for group in groups:
            best = max(group, key=lambda q: float(whole @ texts.vectors[q]))
            for q in group:
                t = texts.vectors[q]
                if q == best:
                    ranked = sorted(patches, key=lambda patch: -float(patch @ texts.vectors[q]))
                    t = F.normalize(0.7 * t + 0.3 * (ranked[0] + ranked[1]) / 2, dim=0)
                local = torch.stack([patch @ t for patch in patches]).view(3, 4)
                expected = 0.75 * local + 0.25 * (whole @ texts.vectors[q])
                torch.testing.assert_close(found[n, q], expected)


def test_nothing_moves_for_nothing():
    cosines, features, texts = case()
    torch.testing.assert_close(CASSTexts(alpha=0.0, share=0.0)(cosines, features, texts=texts), cosines)
    one = case(count=1, grid=(1, 1), windows=1)
    assert CASSTexts()(*one[:2], texts=one[2]).isfinite().all()


def test_bad_input():
    cosines, features, texts = case()
    bare = DenseFeatures(features.grid, 8, "toy")
    with pytest.raises(UsageError, match="take readout=cass"):
        CASSTexts()(cosines, bare, texts=texts)
    for wrong in ({"alpha": 1.1}, {"share": -0.1}, {"height": -1.0}):
        with pytest.raises(UsageError, match="cass-texts takes alpha"):
            CASSTexts(**wrong)
