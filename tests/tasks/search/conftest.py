"""Indexes of vectors that a seed draws."""

import pytest
import torch
import torch.nn.functional as F

from densevl.core.regions import RegionEmbeddings, Regions
from densevl.tasks.search import RegionIndex


@pytest.fixture(scope="session")
def make_index():
    """Regions of three images, one of them empty, a third of them with masks and scores."""

    def made(seed: int = 0, names=("a.png", "b.png", "c.png"), counts=(5, 0, 9), dim: int = 8, model_id: str = "m@1"):
        draw = torch.Generator().manual_seed(seed)
        regions, embeddings = [], []
        for count in counts:
            corner = (torch.rand(count, 2, generator=draw) * 20).round()
            size = (torch.rand(count, 2, generator=draw) * 10).round() + 2
            found = Regions(torch.cat([corner, corner + size], 1), (40, 50))
            if count % 2:
                masks = torch.rand(count, 40, 50, generator=draw) > 0.5
                found = found.with_masks(masks).with_scores(torch.rand(count, generator=draw))
            regions.append(found)
            vectors = F.normalize(torch.randn(count, dim, generator=draw), dim=1)
            embeddings.append(RegionEmbeddings(vectors, model_id))
        return RegionIndex.of(names, regions, embeddings, {"name": "toy"}), regions, embeddings

    return made
