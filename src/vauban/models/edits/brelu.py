"""Bounded ReLU in the place of the activations of any network."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from vauban.core.contracts import Batch
from vauban.core.errors import ContractError, plural
from vauban.core.parameters import Positive
from vauban.core.surgery import replaced
from vauban.engine.network import quiet, shown
from vauban.models.bounded_relu import BoundedReLU, LearnedReLU
from vauban.models.edits.functional_calls import functional_activations
from vauban.training import registry
from vauban.training.recipe import RecipePart

RECTIFIERS = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.ELU, nn.CELU, nn.SELU),
    *(nn.GELU, nn.SiLU, nn.Hardswish, nn.Mish, nn.Softplus, BoundedReLU, LearnedReLU),
)
"""Modules that a bounded ReLU takes the place of."""


@registry.register("brelu", words={"t": "numbers"})
@dataclass(frozen=True)
class BoundedActivations(RecipePart):
    """Bounded ReLU: every ReLU and its kin becomes min(max(x, 0), t), so that perturbations cannot add up.

    The network is a copy around the changed places; weights are shared. Each module put in brings a card, whose backward
    rule (slope 0.1 outside [0, t]) the adaptive threat takes.

    Attributes:
        t: The bound, or one for each activation in the order of `named_modules()`: `t=[1][2][0.5]`.
        learned: Whether each bound is a parameter that is trained from t on.

    Raises:
        ContractError: When a network is edited: it has none of these modules, or not as many as there are bounds.
    """

    t: Positive | tuple[Positive, ...] = 1.0
    learned: bool = False

    def edit(self, module: nn.Module) -> nn.Module:
        old = [part for part in module.modules() if isinstance(part, RECTIFIERS)]
        kind = type(module).__name__
        if not old:
            raise ContractError(
                f"expected activations that are modules (nn.ReLU and its kin) for brelu, got 0 among the "
                f"{sum(1 for _ in module.modules())} modules of {kind}; make its functional ones modules in __init__"
            )
        bounds = self.t if isinstance(self.t, tuple) else (self.t,) * len(old)
        if len(bounds) != len(old):
            raise ContractError(
                f"expected t for each of the {len(old)} activations of {kind}, got {plural(len(bounds), 'value')}"
            )
        for part, t in zip(old, bounds, strict=True):
            new = (LearnedReLU if self.learned else BoundedReLU)(float(t))
            module = replaced(module, part, new.train(part.training))
        return module

    def check(self, network: nn.Module, batch: Batch) -> None:
        with quiet(list(network.modules())):
            left = functional_activations(network, shown(network, batch.x[:1].clone()))
        if left:
            raise ContractError(
                f"expected activations that are modules (nn.ReLU and its kin) for brelu, got {plural(left, 'call')} of "
                "functions such as torch.relu in its forward, which would stay as they are; make them modules in __init__"
            )
