"""Fisher's direction: from a cloud of features toward one point outside it, in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

RIDGE = 3.0
"""Regularisation, as a part of the mean variance of the directions in which the cloud extends."""


@dataclass(frozen=True, eq=False)
class Fisher:
    """Regularised Fisher discriminant of a cloud of points against a single one.

    With the mean m and the covariance S of the cloud, w(v) = (S + r I)^-1 (v - m) separates v best: it makes
    (w . (v - m))^2 / (w^T S w + r |w|^2) largest, and the value there is the squared distance D(v) = (v - m) . w(v). No
    point scores above v itself whose distance is not larger: w(v) . (u - m) <= sqrt(D(u) D(v)) by Cauchy and Schwarz.

    The primal form solves a system of the features' size. Of more features than points only their span is needed: with the
    centred points F `(n, d)`, S = F^T F / n and (S + r I)^-1 v = (v - F^T (n r I + F F^T)^-1 F v) / r, the dual form.

    Attributes:
        cloud: Features of the points, `(n, d)`.
        ridge: r, as a part of the mean variance of the directions in which the cloud extends.
        form: The system that is solved; None: the smaller one.
    """

    cloud: Tensor
    ridge: float = RIDGE
    form: Literal["primal", "dual"] | None = None

    @cached_property
    def mean(self) -> Tensor:
        """m, float64 `(d,)`."""
        return self.cloud.double().mean(0)

    @cached_property
    def centred(self) -> Tensor:
        """F, float64 `(n, d)`."""
        return self.cloud.double() - self.mean

    @cached_property
    def regularisation(self) -> float:
        """r, above zero also where no feature moves."""
        n, d = self.cloud.shape
        variance = float(self.centred.square().sum()) / n / min(n, d)
        return max(self.ridge * variance, 1e-12)

    @property
    def _dual(self) -> bool:
        n, d = self.cloud.shape
        return n < d if self.form is None else self.form == "dual"

    @cached_property
    def _factor(self) -> Tensor:
        """Cholesky factor of the system of the chosen form."""
        rows, n = self.centred, len(self.cloud)
        system = rows @ rows.T if self._dual else rows.T @ rows / n
        system.diagonal().add_(self.regularisation * (n if self._dual else 1))
        factor: Tensor = torch.linalg.cholesky(system)
        return factor

    def directions(self, points: Tensor) -> Tensor:
        """w(v) of each point, float64 `(k, d)`, from features `(k, d)`."""
        away = points.double() - self.mean
        if not self._dual:
            return torch.cholesky_solve(away.T, self._factor).T
        inside = torch.cholesky_solve(self.centred @ away.T, self._factor)
        return (away - inside.T @ self.centred) / self.regularisation

    def distances(self, points: Tensor) -> Tensor:
        """D(v) of each point, float64 `(k,)`, from features `(k, d)`."""
        away = points.double() - self.mean
        if not self._dual:
            whitened: Tensor = torch.linalg.solve_triangular(self._factor, away.T, upper=False)
            return whitened.square().sum(0)
        inside: Tensor = torch.linalg.solve_triangular(self._factor, self.centred @ away.T, upper=False)
        return (away.square().sum(1) - inside.square().sum(0)) / self.regularisation
