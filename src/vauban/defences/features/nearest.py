"""Nearest codewords: exact, by blocks of patches, never all distances at once; by faiss where it is installed."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

import torch
from torch import Tensor

BLOCK = 1 << 19
"""Distances that are held at once."""


@cache
def faiss() -> Any:
    """The module faiss; None where it is not installed (the extra `codebook`)."""
    try:
        return importlib.import_module("faiss")
    except ImportError:
        return None


def searched_by(patches: Tensor) -> str:
    """What looks for the nearest codeword: `faiss`, 5 to 20 times faster, for float32 on the CPU, else `torch`."""
    on_cpu = patches.device.type == "cpu" and patches.dtype == torch.float32
    return "faiss" if on_cpu and faiss() is not None else "torch"


def nearest(patches: Tensor, codewords: Tensor) -> Tensor:
    """The codeword nearest to each patch in L2; of equally near ones the first.

    Distances are |q|^2 - 2 p.q + |p|^2, in the type of the patches, after the mean codeword has been taken off both. Two
    codewords are equally near where these are equal: where they differ by rounding alone, faiss and torch may differ.

    Args:
        patches: `(n, width)`.
        codewords: `(K, width)`, of the same type.

    Returns:
        Indices of codewords, int64 `(n,)`.
    """
    mean = codewords.mean(0)
    patches, codewords = (patches.detach() - mean).contiguous(), (codewords - mean).contiguous()
    if searched_by(patches) == "faiss":
        return _by_faiss(patches, codewords)
    half = codewords.square().sum(1) / 2
    blocks = torch.split(patches, max(1, BLOCK // len(codewords)))
    return torch.cat([torch.addmm(half, block, codewords.T, alpha=-1).argmin(1) for block in blocks])


def several_nearest(patches: Tensor, codewords: Tensor, count: int) -> Tensor:
    """The `count` nearest codewords of each patch, int64 `(n, count)`, in no order; by blocks."""
    mean = codewords.mean(0)
    patches, codewords = patches.detach() - mean, codewords - mean
    half = codewords.square().sum(1) / 2
    blocks = torch.split(patches, max(1, BLOCK // len(codewords)))
    far = [
        torch.addmm(half, block, codewords.T, alpha=-1).topk(count, 1, largest=False, sorted=False) for block in blocks
    ]
    return torch.cat([block.indices for block in far])


def _by_faiss(patches: Tensor, codewords: Tensor) -> Tensor:
    library = faiss()
    library.omp_set_num_threads(torch.get_num_threads())
    indices = library.knn(patches.numpy(), codewords.numpy(), 1)[1]
    return torch.from_numpy(indices[:, 0])
