"""Quantisation of small steps: what rounding to pixel levels leaves of them.

Zhang, Avrithis, Furon, Amsaleg, Walking on the edge, 2020 (arXiv:1912.02153); section 5.4 of H. Zhang's thesis.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betainc

from vauban.core.errors import ContractError


def survival(length: ArrayLike, n: int, levels: int = 256) -> NDArray[np.float64]:
    """Probability that a component of a step changes its pixel level when the image is rounded again.

    The step is uniform on the sphere of radius rho in n components and starts on the grid of spacing Delta =
    1/(levels - 1): P(|U_j| >= Delta/2) = 1 - I_{c^2}(1/2, (n - 1)/2) with c = Delta/(2 rho), 0 where c >= 1; I is the
    regularised incomplete beta function. For large n it nears 2 Phi(-sqrt(n) c).

    Args:
        length: L2 length rho of the step, in pixel units of [0,1]; a number or an array.
        n: Number of components.
        levels: Number of pixel levels.

    Returns:
        Probabilities of the shape of `length`.

    Raises:
        ContractError: A length is negative, n is below 2, or there are fewer than 2 levels.
    """
    rho = np.asarray(length, dtype=np.float64)
    if n < 2 or levels < 2 or not bool(np.all(rho >= 0)):
        raise ContractError(f"expected length >= 0, n >= 2 and levels >= 2, got {rho.min()}, {n}, {levels}")
    c = np.divide(0.5 / (levels - 1), rho, out=np.full(rho.shape, np.inf), where=rho > 0)
    return np.where(c < 1, 1 - betainc(0.5, (n - 1) / 2, np.minimum(c, 1) ** 2), 0.0)


def least_square(length: ArrayLike, n: int, levels: int = 256) -> NDArray[np.float64]:
    """Lower bound of the expected squared L2 length of the rounded step: E(D^2) >= n Delta^2 `survival`.

    A component that changes moves by Delta at least. In the thesis' example (n = 268 203, 256 levels) the bound equals
    one Delta^2, a single changed pixel, at a length of about 0.22; the text says 0.1, where it is 1e-18 Delta^2.

    Args:
        length: L2 length rho of the step, in pixel units of [0,1]; a number or an array.
        n: Number of components.
        levels: Number of pixel levels.

    Returns:
        Squared lengths of the shape of `length`, in squared pixel units.

    Raises:
        ContractError: As `survival`.
    """
    return n / (levels - 1) ** 2 * survival(length, n, levels)
