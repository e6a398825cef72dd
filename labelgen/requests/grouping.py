"""Groups of texts by what they mean, with the number of groups chosen: communities of the graph of nearest neighbors.

Each text is linked to the texts whose vectors are nearest to its own, by how many neighbors the two share. A community is a set of texts
with more weight of links inside than a random graph with the same degrees would have (modularity); the number follows from the graph.

Sources: Jarvis and Patrick 1973, "Clustering Using a Similarity Measure Based on Shared Near Neighbors"; Newman and Girvan 2004, "Finding
and evaluating community structure in networks"; Blondel et al. 2008, "Fast unfolding of communities in large networks"."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Groups = NDArray[np.int64]

NEIGHBORS = 15
_ROWS_AT_ONCE = 1024


def group(vectors: Floats, neighbors: int = NEIGHBORS, seed: int = 0) -> Groups:
    """The group of each text, 0 for the largest. vectors: [texts, width], of length 1. The same vectors get the same groups."""
    if len(vectors) < 2:
        return np.zeros(len(vectors), np.int64)
    of_node = communities(neighbor_graph(centered(vectors), neighbors), seed)
    sizes = np.bincount(of_node)
    rank = np.empty(len(sizes), np.int64)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(len(sizes))
    return rank[of_node]


def centered(vectors: Floats) -> Floats:
    """Vectors of length 1 without what all of them have in common."""
    moved = vectors - vectors.mean(axis=0)
    length = np.linalg.norm(moved, axis=1, keepdims=True)
    scaled: Floats = moved / np.where(length > 0, length, 1.0).astype(np.float32)
    return scaled


def neighbor_graph(vectors: Floats, neighbors: int) -> Any:
    """A symmetric sparse matrix [texts, texts]: of neighbors, how many neighbors the two share, themselves included."""
    from scipy import sparse

    count = len(vectors)
    most = min(neighbors, count - 1)
    nearest = np.empty((count, most), np.int64)
    for start in range(0, count, _ROWS_AT_ONCE):
        near = vectors[start : start + _ROWS_AT_ONCE] @ vectors.T
        near[np.arange(len(near)), start + np.arange(len(near))] = -np.inf
        nearest[start : start + _ROWS_AT_ONCE] = np.argpartition(-near, most - 1, axis=1)[:, :most]
    rows = np.repeat(np.arange(count), most)
    links = sparse.csr_matrix((np.ones(rows.size), (rows, nearest.ravel())), shape=(count, count))
    linked = links.maximum(links.T) + sparse.identity(count, format="csr")
    shared = (linked @ linked).multiply(linked).tocsr()
    shared.setdiag(0.0)
    shared.eliminate_zeros()
    return shared


def communities(graph: Any, seed: int = 0) -> Groups:
    """The community of each node of a symmetric sparse matrix of weights, by the method of Louvain."""
    import networkx

    of_node = np.zeros(graph.shape[0], np.int64)
    for k, nodes in enumerate(
        networkx.community.louvain_communities(networkx.from_scipy_sparse_array(graph), seed=seed)
    ):
        of_node[list(nodes)] = k
    return of_node
