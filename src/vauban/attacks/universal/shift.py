"""Universal perturbation as an attack, once it has been fitted. Moosavi-Dezfooli, Fawzi, Fawzi, Frossard, Universal
adversarial perturbations, 2017 (arXiv:1610.08401)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vauban.attacks import registry
from vauban.core.errors import ContractError
from vauban.core.norms import Ball, norm_by_name
from vauban.engine import Oracle, Point, Steps
from vauban.engine.iterate import Stop
from vauban.engine.record import Keep
from vauban.models import weights as files

KIND = "universal"
FIT = (
    "fit one: vauban fit --fitter universal --model MODEL --data SET/train --out u.safetensors, then use "
    "--attack universal:file=u.safetensors"
)


@registry.register(KIND, norms=("linf", "l2"), needs="nothing", targeted=True, fitted=True, words={"file": "file"})
@dataclass(frozen=True, eq=False)
class UniversalPerturbation(Steps[Point]):
    """One perturbation for every image: x' = clip(x + v), rounded inside the ball; the network is not asked.

    v is added whatever the goal: the one it was fitted to is in the metadata of the file.

    Attributes:
        v: The perturbation, of the shape of one image, in pixel units of [0,1].
        ball: What v is projected on; None for the one that the file was fitted in. A smaller one cuts v; a larger one does
            not stretch it.
        file: In the place of v, a file that `vauban fit` wrote.

    Raises:
        ContractError: A file that holds no universal perturbation, a v that is not finite or without a ball, a ball in
            another norm than the file's; when run, images of another shape than v.
    """

    v: Tensor | None = None
    ball: Ball | None = None
    file: str | Path | None = field(default=None, repr=False)
    steps: int = field(default=0, init=False)
    stop: ClassVar[Stop] = "never"
    keep: ClassVar[Keep] = "last"

    def __post_init__(self) -> None:
        super().__post_init__()
        file = self.file
        if (self.v is None) == (file is None):
            held = "none of its own" if file is None else f"one beside that of {file}"
            raise ContractError(f"expected one perturbation for the attack {KIND!r}, got {held}; {FIT}")
        v, ball = self.v, self.ball
        if file is not None:
            path = Path(file).expanduser()
            v, fitted = read(path)
            ball = fitted if ball is None else ball
            if ball.norm is not fitted.norm:
                raise ContractError(f"expected norm={fitted.norm}, in which {path} was fitted, got {ball}")
        if ball is None:
            raise ContractError("expected a ball beside a perturbation that comes as a tensor, got none")
        assert v is not None
        if not v.is_floating_point() or not bool(v.isfinite().all()):
            raise ContractError(f"expected a perturbation of finite floats, got {v.dtype} with NaN or infinite values")
        object.__setattr__(self, "v", v)
        object.__setattr__(self, "ball", ball)
        object.__setattr__(self, "file", None)  # what was in it is held: the attack is what it adds, wherever that was

    def start(self, oracle: Oracle, **per_sample: Tensor) -> Point:
        assert self.v is not None
        return Point(shifted(oracle, self.v))

    def step(self, oracle: Oracle, state: Point, t: int) -> Point:
        return state

    def save(self, path: Path, meta: Mapping[str, Any]) -> None:
        """Write v as safetensors; the file appears whole or not at all.

        Args:
            path: The file.
            meta: Metadata, beside the norm and the radius.
        """
        assert self.v is not None
        assert self.ball is not None
        told = {"format": 1, "attack": KIND, "norm": self.ball.norm.name, "eps": float(self.ball.radius)}
        files.save(nn.ParameterDict({"v": nn.Parameter(self.v, requires_grad=False)}), path, {**meta, **told})


def shifted(oracle: Oracle, v: Tensor) -> Tensor:
    """The images as the network is shown them with v added, inside the ball of the oracle, `(batch, ...)`.

    Raises:
        ContractError: v has another shape than an image.
    """
    if v.shape != oracle.domain.x0.shape[1:]:
        raise ContractError(
            f"expected images of shape {tuple(v.shape)}, for which the universal perturbation was fitted, got "
            f"{tuple(oracle.domain.x0.shape[1:])}"
        )
    return oracle.domain.quantise(oracle.domain.project(oracle.domain.x0 + v.to(oracle.domain.x0)))


def read(path: Path) -> tuple[Tensor, Ball]:
    """The perturbation of a file and its ball. Raises ContractError, naming the file, for anything else."""
    tensors, meta = files.read(path), files.metadata(path)
    if meta.get("attack") != KIND or set(tensors) != {"v"}:
        raise ContractError(f"{path} holds no universal perturbation; {FIT}")
    eps = meta.get("eps")
    if not isinstance(eps, float) or not torch.isfinite(torch.tensor(eps)):
        raise ContractError(f"expected the radius of the ball as a number in the metadata of {path}, got {eps!r}")
    return tensors["v"], norm_by_name(str(meta.get("norm")))(eps)
