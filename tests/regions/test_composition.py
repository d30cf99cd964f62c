"""Composition: the published scores, and a region by region oracle."""

import torch
import torch.nn.functional as F
from toys.few_examples import arrays, assert_close, units

from densevl.core.regions import RegionEmbeddings
from densevl.regions.composition import composed, composed_regions, parts_of_regions


def test_it_is_the_published_composition(shared):
    data = arrays(shared, "comclip")
    found = {}
    for caption in range(2):
        for image in range(2):
            name = f"c{caption}_i{image}"
            whole = composed(data[f"whole_{name}"], data[f"parts_{name}"], data[f"words_{name}"])
            found[caption, image] = whole @ data[f"caption_{name}"]
            assert_close(found[caption, image], data[f"similarity_{name}"].float(), 1e-4)
    text = found[0, 0] > found[1, 0] and found[1, 1] > found[0, 1]
    image = found[0, 0] > found[0, 1] and found[1, 1] > found[1, 0]
    assert (bool(text), bool(image), bool(text and image)) == tuple(
        bool(data[f"{kind}_correct"]) for kind in ("text", "image", "group")
    )


def test_parts_are_the_region_itself_and_the_nearest_of_the_others():
    vectors, words = units(5, 8), units(3, 8, seed=1)
    found = parts_of_regions(vectors, words)
    for i in range(5):
        assert torch.equal(found[i, 0], vectors[i])
        for j in (1, 2):
            best = max((k for k in range(5) if k != i), key=lambda k: float(vectors[k] @ words[j]))
            assert torch.equal(found[i, j], vectors[best])
    alone = parts_of_regions(vectors[:1], words)
    assert torch.equal(alone, vectors[:1].expand(1, 3, 8))


def test_regions_are_composed_look_by_look():
    looks, words = {"crop": units(4, 8), "blur": units(4, 8, seed=2)}, units(2, 8, seed=1)
    found = composed_regions(RegionEmbeddings.of_parts(looks, "m@1", {"blur": 0.5}), words)
    for name, vectors in looks.items():
        expected = composed(vectors, parts_of_regions(vectors, words), words)
        torch.testing.assert_close(found.parts[name], expected)
    assert found.weights == {"blur": 0.5}


def test_parts_that_suit_no_words_move_nothing():
    whole, part = units(3, 8), F.normalize(torch.eye(8)[:2], dim=1).expand(3, 2, 8)
    torch.testing.assert_close(composed(whole, part, torch.eye(8)[4:6]), whole)
