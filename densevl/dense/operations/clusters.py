"""Groups: clusters of rows, connected parts of graphs and of masks, and what most members of a group say."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Int64
from torch import Tensor

__all__ = ["blobs", "components", "dbscan", "majority"]


def dbscan(rows: Float[Tensor, "n d"], eps: float, min_samples: int) -> Int64[Tensor, " n"]:
    """Clusters of rows by density, as DBSCAN defines them (Ester et al., KDD 1996).

    A row with ``min_samples`` rows within ``eps``, itself among them, is a core; cores that are near each other are of
    one cluster, and a row near a core is of the first cluster that has one. On the device of the rows.

    Args:
        rows: compared by their Euclidean distance.
        eps: the largest distance of neighbours.
        min_samples: neighbours that make a core.

    Returns:
        The cluster of each row, numbered by their first cores; -1 for none. Equal to scikit-learn's.
    """
    exact = rows.double() if rows.device.type != "mps" else rows  # a product in float64 is as exact as differences
    lengths = exact.square().sum(1)
    near = lengths[:, None] + lengths - 2 * exact @ exact.mT <= eps**2
    near = (near | near.mT).fill_diagonal_(True)
    core = near.sum(1) >= min_samples
    first = components(near & core & core[:, None])
    places = torch.arange(len(rows), device=rows.device)
    starts = core & (first == places)
    number = (starts.cumsum(0) - 1)[first]
    of_cores = F.pad(torch.where(near & core, number, len(rows)), (0, 1), value=len(rows)).amin(1)
    return torch.where(of_cores < len(rows), of_cores, -1)


def components(edges: Bool[Tensor, "n n"]) -> Int64[Tensor, " n"]:
    """The first node of the connected part that each node belongs to.

    Args:
        edges: of an undirected graph, symmetric.
    """
    count = len(edges)
    first = torch.arange(count, device=edges.device)
    while True:
        lowest = torch.cat([torch.where(edges, first, count), first[:, None]], dim=1).amin(1)
        lowest = lowest[lowest]  # as far as the nodes met so far know
        if torch.equal(lowest, first):
            return first
        first = lowest


def blobs(masks: Bool[Tensor, "k h w"]) -> Int64[Tensor, "k h w"]:
    """The connected part of its mask that each cell belongs to, diagonal neighbours included.

    Args:
        masks: each by itself.

    Returns:
        The last cell of the part in reading order; -1 outside.
    """
    height, width = masks.shape[1:]
    inside = masks.float()
    found = torch.arange(1, height * width + 1, device=masks.device).view(height, width) * inside  # exact to 2^24
    while True:
        grown = F.max_pool2d(found[:, None], 3, 1, 1)[:, 0] * inside
        if torch.equal(grown, found):
            return found.long() - 1
        found = grown


def majority(labels: Int[Tensor, "*m"], groups: Int[Tensor, "*m"]) -> Int64[Tensor, "*m"]:
    """The most frequent label of each member's group, the lowest of those that tie.

    Args:
        labels: from 0 on.
        groups: of each member, from 0 on; a member below 0 keeps its label.
    """
    flat, members = labels.flatten().long(), groups.flatten().long()
    voting = members >= 0
    if not voting.any():
        return labels.long()
    count = int(flat.max()) + 1
    kinds, places = members[voting].unique(return_inverse=True)
    votes = (places * count + flat[voting]).bincount(minlength=len(kinds) * count)
    winners = votes.unflatten(0, (len(kinds), count)).argmax(1)
    result = flat.clone()
    result[voting] = winners[places]
    return result.view(labels.shape)
