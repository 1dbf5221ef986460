"""Guided smoothing against dense and sparse direct solves of the printed equations, its transpose against autograd."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from vauban.core.errors import ContractError
from vauban.core.rng import Stream
from vauban.core.tensors import take
from vauban.laplacian.conjugate_gradient import join, split
from vauban.laplacian.smoothing import DIGITS, DIRECT_SIDE, PHOTOGRAPHS, Kernel, Smoothing
from vauban.laplacian.stencil import Stencil

SHAPES = [(1, 6, 7), (3, 7, 6), (2, 1, 5), (3, 5, 1), (1, 2, 2), (3, 8, 8), (2, 5, 11)]
KERNELS = [Kernel(shape, 20.0, channels) for shape in ("gaussian", "laplacian") for channels in ("joint", "each")]
METHODS = ["direct", "iterative"]
methods = pytest.mark.parametrize("method", METHODS)


def images(shape: tuple[int, ...], seed: int = 0, batch: int = 3, dtype: torch.dtype = torch.float64) -> Tensor:
    return Stream(seed, torch.arange(batch)).uniform("x", shape, dtype=dtype)


def signal(x: Tensor, seed: int = 1) -> Tensor:
    return Stream(seed, torch.arange(len(x))).normal("z", tuple(x.shape[1:]), dtype=x.dtype)


def dense(x: np.ndarray, kernel: Kernel, alpha: float) -> np.ndarray:
    """The matrix of (4.5) for one graph, x `(channels of the graph, height, width)`, pixel by pixel from (4.1)-(4.5)."""
    _, height, width = x.shape
    n = height * width
    w = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            (a, b), (c, d) = divmod(i, width), divmod(j, width)
            if abs(a - c) + abs(b - d) == 1:
                distance = math.dist(x[:, a, b], x[:, c, d])
                w[i, j] = math.exp(-kernel.rate * (distance**2 if kernel.shape == "gaussian" else distance))
    root = np.sqrt(np.maximum(w.sum(1), kernel.floor))
    laplacian = (np.eye(n) - alpha * w / root[:, None] / root[None, :]) / (1 - alpha)
    inverse = np.linalg.inv(laplacian)
    return inverse / inverse.sum(1)[:, None]


def matrices(x: Tensor, kernel: Kernel, alpha: float) -> Tensor:
    """`(batch, channel, pixels, pixels)`."""
    batch, channels = x.shape[:2]
    guides = [[x[i] if kernel.channels == "joint" else x[i, c : c + 1] for c in range(channels)] for i in range(batch)]
    return torch.tensor(np.array([[dense(g.numpy(), kernel, alpha) for g in row] for row in guides]), dtype=x.dtype)


def times(m: Tensor, v: Tensor) -> Tensor:
    return (m @ v.flatten(2)[..., None])[..., 0].reshape(v.shape)


@pytest.mark.slow
@methods
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("shape", SHAPES)
def test_against_the_dense_inverse(shape: tuple[int, int, int], kernel: Kernel, method: str) -> None:
    x = images(shape)
    z, m = signal(x), matrices(x, kernel, 0.95)
    s = Smoothing.of(x, 0.95, kernel, tol=1e-12, method=method)
    forward, back = s.apply(z), s.pull(z)
    assert forward.converged.all()
    assert back.converged.all()
    torch.testing.assert_close(forward.value, times(m, z), atol=1e-10, rtol=1e-9)
    torch.testing.assert_close(back.value, times(m.mT, z), atol=1e-10, rtol=1e-9)


@pytest.mark.slow
@methods
def test_single_precision_against_the_dense_inverse(method: str) -> None:
    x = images((3, 12, 9), dtype=torch.float32)
    z, m = signal(x), matrices(x.double(), PHOTOGRAPHS, 0.9)
    s = Smoothing.of(x, 0.9, tol=2e-6, method=method)
    torch.testing.assert_close(s.apply(z).value.double(), times(m, z.double()), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(s.pull(z).value.double(), times(m.mT, z.double()), atol=1e-5, rtol=1e-5)


@methods
def test_against_sparse_lu(method: str) -> None:
    x, alpha = images((3, 40, 33), batch=1), 0.997
    graph, n = PHOTOGRAPHS.weights(x), 40 * 33
    index = np.arange(n).reshape(40, 33)
    ends = [(index[:, :-1], index[:, 1:], graph.right), (index[:-1], index[1:], graph.down)]
    rows, columns, values = (
        np.concatenate(part)
        for part in zip(*[(a.ravel(), b.ravel(), w[0, 0].ravel()) for a, b, w in ends], strict=True)
    )
    half = scipy.sparse.coo_array((values, (rows, columns)), shape=(n, n))
    lu = scipy.sparse.linalg.splu((scipy.sparse.eye_array(n) - alpha * (half + half.T)).tocsc())
    z = signal(x)
    want = lu.solve(z[0].flatten(1).numpy().T) / lu.solve(np.ones(n))[:, None]
    found = Smoothing.of(x, alpha, tol=1e-11, method=method).apply(z).value
    np.testing.assert_allclose(found[0].flatten(1).numpy().T, want, atol=1e-8)


@pytest.mark.slow
@methods
@given(seed=st.integers(0, 10**6), alpha=st.sampled_from([0.0, 0.3, 0.9, 0.997]))
@settings(max_examples=10, deadline=None)
def test_pull_is_the_transpose_of_apply(method: str, seed: int, alpha: float) -> None:
    x = images((2, 9, 10), seed)
    s = Smoothing.of(x, alpha, DIGITS, tol=1e-13, method=method)
    v, g = signal(x, seed + 1), signal(x, seed + 2)
    left, right = (s.apply(v).value * g).sum((1, 2, 3)), (v * s.pull(g).value).sum((1, 2, 3))
    torch.testing.assert_close(left, right, atol=1e-9, rtol=1e-10)


def test_gradient_against_autograd_through_the_dense_matrix() -> None:
    x = images((3, 6, 5))
    m, g = matrices(x, DIGITS, 0.95), signal(x, 3)
    leaf = signal(x).requires_grad_(True)
    (want,) = torch.autograd.grad((times(m, leaf).square() * g).sum(), leaf)
    s = Smoothing.of(x, 0.95, DIGITS)
    torch.testing.assert_close(s.pull(2 * s.apply(leaf.detach()).value * g).value, want, atol=1e-10, rtol=1e-8)


@methods
@pytest.mark.parametrize("kernel", [PHOTOGRAPHS, DIGITS, Kernel("laplacian", 30.0, "each", floor=0.0)])
def test_rows_sum_to_one(method: str, kernel: Kernel) -> None:
    x = images((3, 17, 14))
    s = Smoothing.of(x, 0.997, kernel, tol=1e-10, method=method)
    torch.testing.assert_close(s.apply(torch.full_like(x, 0.7)).value, torch.full_like(x, 0.7), atol=1e-7, rtol=0)


@methods
def test_alpha_zero_is_the_identity(method: str) -> None:
    x = images((3, 7, 9), dtype=torch.float32)
    z = signal(x)
    s = Smoothing.of(x, 0.0, method=method)
    torch.testing.assert_close(s.apply(z).value, z, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(s.pull(z).value, z, atol=1e-6, rtol=1e-6)


@methods
def test_smooth_like_the_image(method: str) -> None:
    """Two flat halves: noise becomes nearly constant in each, and nothing crosses the edge."""
    x = torch.zeros(2, 1, 12, 12, dtype=torch.float64)
    x[..., 6:] = 0.8
    z = signal(x)
    r = Smoothing.of(x, 0.99999, tol=1e-9, method=method).apply(z).value
    for half in (slice(0, 6), slice(6, 12)):
        part = r[..., half].flatten(1)
        assert (part.std(1) < 2e-3 * z.std()).all()
    # the value of a region is a mean of its own noise: weights sqrt(degree) / sum of sqrt(degree), from the null vector
    left = torch.full((12, 6), 4.0)
    for edge in (left[0], left[-1], left[:, 0], left[:, -1]):
        edge -= 1
    weight = left.double().sqrt() / left.double().sqrt().sum()
    torch.testing.assert_close(r[..., 3, 2].squeeze(1), (z[..., :6] * weight).sum((1, 2, 3)), atol=2e-3, rtol=0)


@methods
def test_isolated_pixels_stay_as_they_are(method: str) -> None:
    x = torch.zeros(1, 1, 6, 6, dtype=torch.float64)
    x[..., ::2, ::2], x[..., 1::2, 1::2] = 1, 1  # every neighbour differs by 1: each weight is exp(-300)
    z = signal(x)
    torch.testing.assert_close(Smoothing.of(x, 0.9, method=method).apply(z).value, z, atol=1e-12, rtol=0)
    # without a floor the normalised graph is that of a flat image, even where the weights are not representable
    bare = [Smoothing.of(y.float(), 0.9, Kernel(floor=0.0), tol=1e-6, method=method) for y in (x, 0 * x)]
    torch.testing.assert_close(bare[0].apply(z.float()).value, bare[1].apply(z.float()).value, atol=1e-5, rtol=0)


@methods
def test_single_pixel_and_empty_batch(method: str) -> None:
    for shape in [(2, 3, 1, 1), (0, 3, 4, 4)]:
        x = torch.full(shape, 0.5)
        found = Smoothing.of(x, 0.9, method=method).apply(2 * x)
        torch.testing.assert_close(found.value, 2 * x)
        assert found.converged.shape == (shape[0],)
        assert found.converged.all()


@methods
def test_batch_equals_singles_and_rows_can_be_dropped(method: str) -> None:
    # flat, textured and sharp images need different numbers of iterations
    x = images((3, 20, 19), batch=4)
    x[0], x[1] = 0.5, x[1] * 0.1
    z = signal(x)
    s = Smoothing.of(x, 0.997, method=method)
    whole = s.apply(z)
    assert method == "direct" or len(whole.iterations.unique()) > 1
    for i in range(len(x)):
        one = Smoothing.of(x[i : i + 1], 0.997, method=method).apply(z[i : i + 1])
        torch.testing.assert_close(one.value, whole.value[i : i + 1], atol=1e-10, rtol=1e-8)
        assert one.iterations == whole.iterations[i]
    keep = torch.tensor([False, True, False, True])
    torch.testing.assert_close(take(s, keep).apply(z[keep]).value, whole.value[keep], atol=1e-10, rtol=1e-8)


def test_non_convergence_is_reported_per_sample() -> None:
    x = images((1, 30, 30), batch=2)
    x[1] = 0.5
    z = signal(x)
    s = Smoothing.of(x, 0.999, tol=1e-5, limit=80, method="iterative")
    found = s.apply(z)
    assert found.converged.tolist() == [False, True]
    assert found.residual[0] > 1e-5 >= found.residual[1]
    assert found.iterations[0] == 80 > found.iterations[1]
    assert found.value.isfinite().all()
    product = s.stencil.product(found.value * s.p)
    torch.testing.assert_close((z - product).flatten(1).norm(dim=1) / z.flatten(1).norm(dim=1), found.residual)


def test_rows_whose_normalisation_failed_are_not_converged() -> None:
    x = images((1, 30, 30), batch=1) * 0 + 0.5
    s = Smoothing.of(x, 0.9999999, limit=1, method="iterative")
    assert not s.settled.all()
    assert not s.apply(torch.zeros_like(x)).converged.any()  # zero itself is solved at once


def test_warm_start_saves_iterations_and_a_bad_one_costs_none() -> None:
    x = images((3, 25, 24), batch=2, dtype=torch.float32) * 0.05
    z = signal(x)
    s = Smoothing.of(x, 0.997, method="iterative")
    for call in (s.apply, s.pull):
        cold = call(z)
        warm = call(z + 0.01 * signal(x, 5), cold.value)
        assert (warm.iterations < cold.iterations).all()
        assert call(z, cold.value).iterations.max() == 0
        for bad in (1e6 * z, torch.full_like(z, math.inf)):
            other = call(z, bad)
            assert torch.equal(other.value, cold.value)
    assert torch.equal(s.apply(torch.zeros_like(z), z).value, torch.zeros_like(z))


@methods
def test_a_signal_that_is_not_a_number_stays_in_its_row(method: str) -> None:
    x = images((3, 9, 10))
    z = signal(x)
    s = Smoothing.of(x, 0.95, method=method, limit=60)
    want = s.apply(z)
    z[1, 0, 2, 3] = math.nan
    found = s.apply(z)
    assert found.converged.tolist() == [True, False, True]
    torch.testing.assert_close(found.value[::2], want.value[::2], atol=1e-12, rtol=0)


@methods
def test_tiny_signals_are_smoothed_too(method: str) -> None:
    x = images((3, 10, 10), dtype=torch.float32)
    z = signal(x)
    s = Smoothing.of(x, 0.95, method=method)
    torch.testing.assert_close(s.apply(z * 1e-30).value * 1e30, s.apply(z).value, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_the_method_follows_the_size() -> None:
    for side, iterations in ((DIRECT_SIDE, 0), (DIRECT_SIDE + 1, 1)):
        x = torch.full((1, 1, side, side + 1), 0.5)
        z = signal(x)
        assert min(int(Smoothing.of(x, 0.5).apply(z).iterations.max()), 1) == iterations


@given(height=st.integers(1, 7), width=st.integers(1, 7))
@settings(deadline=None)
def test_chessboard_splits_and_joins(height: int, width: int) -> None:
    v = torch.arange(1.0, 1 + height * width).reshape(1, 1, height, width)
    red, black = split(v)
    assert torch.equal(join(red, black, width), v)
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    even = (rows + columns) % 2 == 0
    assert set(red[red > 0].tolist()) == set(v[0, 0][even].tolist())


def test_normalised_graph_of_a_flat_image() -> None:
    graph = PHOTOGRAPHS.weights(torch.full((1, 3, 3, 3), 0.2, dtype=torch.float64))
    corner, side = 1 / math.sqrt(2 * 3), 1 / math.sqrt(3 * 4)
    want = torch.tensor([[corner, corner], [side, side], [corner, corner]], dtype=torch.float64)
    torch.testing.assert_close(graph.right[0, 0], want)
    torch.testing.assert_close(graph.down[0, 0], want.T)
    assert isinstance(graph, Stencil)


@pytest.mark.parametrize("alpha", [1.0, -0.1, 2, math.nan])
def test_alpha_outside_is_refused_in_one_line(alpha: float) -> None:
    with pytest.raises(ContractError, match=r"expected alpha in \[0, 1\)") as caught:
        Smoothing.of(torch.zeros(1, 1, 2, 2), alpha)
    assert "\n" not in str(caught.value)


def test_alpha_within_rounding_of_one_is_refused() -> None:
    x = torch.zeros(1, 1, 9, 9)
    with pytest.raises(ContractError, match=r"rounding of torch\.float32"):
        Smoothing.of(x, 1 - 1e-7)
    z = signal(x.double())
    fine = Smoothing.of(x.double(), 1 - 1e-5, tol=1e-6).apply(z)
    assert fine.converged.all()
    # float32 cannot show a residual below about eps / (1 - alpha), and says so; the value is right to that
    coarse = Smoothing.of(x, 1 - 1e-5, tol=1e-6).apply(z.float())
    assert not coarse.converged.any()
    torch.testing.assert_close(coarse.value.double(), fine.value, atol=1e-2, rtol=0)


def test_other_bad_input() -> None:
    x = torch.zeros(2, 3, 4, 4)
    for arguments in ({"method": "dense"}, {"tol": 0.0}, {"tol": math.nan}, {"limit": 0}):
        with pytest.raises(ContractError):
            Smoothing.of(x, 0.5, **arguments)
    for other in (torch.zeros(2, 5), x.long(), torch.zeros(2, 3, 0, 4)):
        with pytest.raises(ContractError, match="float images"):
            Smoothing.of(other, 0.5)
    for arguments in ({"shape": "box"}, {"channels": "grey"}, {"rate": -1.0}, {"rate": math.inf}, {"floor": math.nan}):
        with pytest.raises(ContractError):
            replace(PHOTOGRAPHS, **arguments)
    for kernel, shape in ((PHOTOGRAPHS, (2, 3, 4, 5)), (Kernel(channels="each"), (2, 1, 4, 4)), (PHOTOGRAPHS, (2, 48))):
        smoothing = Smoothing.of(x, 0.5, kernel)
        for call in (smoothing.apply, smoothing.pull):
            with pytest.raises(ContractError, match="guide's shape"):
                call(torch.zeros(shape))
