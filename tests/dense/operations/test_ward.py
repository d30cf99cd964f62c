import pytest
import scipy.cluster.hierarchy
import scipy.spatial.distance
import torch

from densevl.dense.operations.ward import ward_clusters


@pytest.mark.parametrize("height", [0.0, 0.4, 0.8, 1.5, 9.0])
@pytest.mark.parametrize("count", [1, 2, 15])
def test_clusters_are_those_of_scipy(count, height):
    for seed in range(5):
        points = torch.rand(count, 3, generator=torch.Generator().manual_seed(seed))
        distances = torch.cdist(points, points)
        distances = (distances + distances.T) / 2
        found = ward_clusters(distances, height)
        if count == 1:
            assert found.tolist() == [0]
            continue
        tree = scipy.cluster.hierarchy.linkage(
            scipy.spatial.distance.squareform(distances.fill_diagonal_(0).numpy(), checks=False), "ward"
        )
        expected = torch.from_numpy(scipy.cluster.hierarchy.fcluster(tree, height, "distance"))
        assert torch.equal(found[:, None] == found[None], expected[:, None] == expected[None])
        assert all(int(label) == (found == label).nonzero()[0, 0] for label in found.unique())
