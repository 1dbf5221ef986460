"""Norms L0, L1, L2, L-infinity and the balls they bound.

A norm is one object, `L0`, `L1`, `L2` or `Linf`; called with a radius it gives a ball: `Linf(8 / 255)`. Distances are
in pixel units of [0,1]; a radius is a scalar, one value per sample `(batch,)` or, for L-infinity only, one value per
component (any shape that broadcasts against the images). A radius of zero freezes a component.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from vauban.core.arguments import NamedArguments, named_arguments
from vauban.core.errors import ContractError, UnknownName
from vauban.core.projections import equal_steps, largest, onto_l1
from vauban.core.radius import Radius, check_radius, radius_of_batch
from vauban.core.tensors import components, flat, like, unit
from vauban.core.tolerance import tolerance, upper_limit


@dataclass(frozen=True)
class Norm:
    """A norm of perturbations; there is one object of each, so `is` compares them.

    Attributes:
        name: `l0`, `l1`, `l2` or `linf`.
        p: The order; 0 counts the components that are not zero.
    """

    name: ClassVar[str]
    p: ClassVar[float]

    @named_arguments
    def __call__(self, radius: Radius) -> Ball:
        """The ball of this norm.

        Args:
            radius: In pixel units of [0,1] (L0: components): a number, one per sample `(batch,)`, or for L-infinity one
                per component, of any shape that broadcasts against the images.

        Raises:
            ContractError: The radius is no number, negative or not finite, or one per component of another norm.
        """
        check_radius(self.name, radius, per_component=self is Linf)
        return Ball(self, radius)

    def __str__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[object, ...]:
        return norm_by_name, (self.name,)  # a copy or an unpickled norm is the same object

    def size(self, d: Tensor) -> Tensor:
        """||d||_p of perturbations d `(batch, ...)`, `(batch,)`."""
        size: Tensor = torch.linalg.vector_norm(d, self.p, dim=components(d))
        return size

    def dual(self, g: Tensor) -> Tensor:
        """Dual norm of gradients g `(batch, ...)`, `(batch,)`: the steepest ascent per unit of this norm."""
        raise ContractError(f"expected linf, l2 or l1, got {self.name}, which has no dual norm")

    def steepest(self, g: Tensor) -> Tensor:
        """Steepest ascent direction of unit norm for gradients g `(batch, ...)`; zero where g is zero."""
        raise ContractError(f"expected linf, l2 or l1, got {self.name}, which has no steepest direction")

    def project(self, d: Tensor, radius: Tensor) -> Tensor:
        """Points nearest to d `(batch, ...)` (Euclidean) whose norm is at most radius `(batch,)`."""
        raise ContractError(f"expected l0, l1, l2 or linf, got {self.name}, which has no projection")


@dataclass(frozen=True)
class _Linf(Norm):
    name = "linf"
    p = float("inf")

    def size(self, d: Tensor) -> Tensor:
        return d.abs().amax(components(d))  # vector_norm is not vectorised for p = infinity: ten times slower on a CPU

    def dual(self, g: Tensor) -> Tensor:
        return g.abs().sum(components(g))

    def steepest(self, g: Tensor) -> Tensor:
        return g.sign()

    def project(self, d: Tensor, radius: Tensor) -> Tensor:
        bound = like(radius, d) if radius.dim() == 1 else radius
        return torch.minimum(torch.maximum(d, -bound), bound)


@dataclass(frozen=True)
class _L2(Norm):
    name = "l2"
    p = 2.0

    def dual(self, g: Tensor) -> Tensor:
        return self.size(g)

    def steepest(self, g: Tensor) -> Tensor:
        return unit(g)

    def project(self, d: Tensor, radius: Tensor) -> Tensor:
        factor = radius / self.size(d).clamp_min(torch.finfo(d.dtype).tiny)
        return d * like(factor.clamp_max(1), d)


@dataclass(frozen=True)
class _L1(Norm):
    name = "l1"
    p = 1.0
    share: ClassVar[float] = 0.01

    def dual(self, g: Tensor) -> Tensor:
        return g.abs().amax(components(g))

    def steepest(self, g: Tensor) -> Tensor:
        """Equal steps on the largest 1 % of the components: the exact maximiser moves one pixel only, which saturates."""
        return equal_steps(g, self.share)

    def project(self, d: Tensor, radius: Tensor) -> Tensor:
        return onto_l1(d, radius)


@dataclass(frozen=True)
class _L0(Norm):
    name = "l0"
    p = 0.0

    def size(self, d: Tensor) -> Tensor:
        return (flat(d) != 0).sum(1).to(d.dtype)

    def project(self, d: Tensor, radius: Tensor) -> Tensor:
        """d with its floor(radius) components of largest magnitude, the others zero."""
        return largest(d, radius)


L0, L1, L2, Linf = _L0(), _L1(), _L2(), _Linf()
NORMS: dict[str, Norm] = {norm.name: norm for norm in (L0, L1, L2, Linf)}


def norm_by_name(name: str) -> Norm:
    """The norm called `l0`, `l1`, `l2` or `linf`, in any case. Raises UnknownName."""
    if name.lower() not in NORMS:
        raise UnknownName("norm", name, NORMS)
    return NORMS[name.lower()]


@dataclass(frozen=True, eq=False)
class Ball(NamedArguments):
    """The images within a distance of their originals.

    Attributes:
        norm: The norm of the distance.
        radius: In pixel units of [0,1]: a number, or a tensor as `Norm.__call__` takes it. A bound ball has one per
            sample `(batch,)` or per component.
    """

    norm: Norm
    radius: Radius

    def __str__(self) -> str:
        r = self.radius
        return (
            f"{self.norm.name}:{r:.6g}" if isinstance(r, (int, float)) else f"{self.norm.name}:tensor{tuple(r.shape)}"
        )

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Ball)
            and self.norm == other.norm
            and torch.equal(torch.as_tensor(self.radius), torch.as_tensor(other.radius))
        )

    def __hash__(self) -> int:
        return hash(str(self))

    def bind(self, x0: Tensor) -> Ball:
        """The same ball bound to a batch, so that rows can be dropped.

        Args:
            x0: Original images `(batch, ...)`.

        Returns:
            A ball with one radius per sample `(batch,)`, or per component, of the type and on the device of x0.

        Raises:
            ContractError: The radius fits neither the number of samples nor their shape.
        """
        return Ball(self.norm, radius_of_batch(self.radius, x0))

    def rows(self, index: Tensor) -> Ball:
        """The bound ball of some samples of the batch."""
        assert isinstance(self.radius, Tensor)
        return Ball(self.norm, self.radius[index])

    def scale(self, x: Tensor) -> Tensor:
        """The bound radius in a shape that multiplies images x `(batch, ...)`."""
        assert isinstance(self.radius, Tensor)
        return like(self.radius, x) if self.radius.dim() == 1 else self.radius

    def project(self, x: Tensor, x0: Tensor) -> Tensor:
        """Points of the bound ball around x0 nearest to x, both `(batch, ...)`."""
        if self.norm is Linf:  # bounds instead of differences: one rounding error less
            radius = self.scale(x)
            return torch.minimum(torch.maximum(x, x0 - radius), x0 + radius)
        assert isinstance(self.radius, Tensor)
        return x0 + self.norm.project(x - x0, self.radius)

    def contains(self, x: Tensor, x0: Tensor) -> Tensor:
        """Whether each sample is within the bound ball, up to the tolerance of the images' type.

        Args:
            x: Images `(batch, ...)`, pixels in [0,1].
            x0: The originals, of the same shape.

        Returns:
            `(batch,)` bool: ||x - x0|| <= `core.tolerance.upper_limit` of the radius.
        """
        d, slack = x - x0, tolerance(x.dtype)
        if self.norm is Linf:
            return flat(d.abs() <= upper_limit(self.scale(x), slack)).all(1)
        assert isinstance(self.radius, Tensor)
        return self.norm.size(d) <= upper_limit(self.radius, slack)

    def covers(self, other: Ball) -> bool:
        """Whether a ball lies within this one around the same originals.

        Args:
            other: A bound ball; its radius has the type of the images, which decides the tolerance.

        Returns:
            True where the norm is the same and every radius of `other` is within this one's.
        """
        mine, theirs = torch.as_tensor(self.radius), torch.as_tensor(other.radius)
        if mine.dim() != theirs.dim():  # one per sample against one per component
            mine, theirs = (like(r, max(mine, theirs, key=Tensor.dim)) if r.dim() == 1 else r for r in (mine, theirs))
        return self.norm == other.norm and bool((theirs <= upper_limit(mine, tolerance(theirs.dtype))).all())
