"""Training by interval bounds (Gowal et al. 2018, arXiv:1810.12715)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from torch import nn

from vauban.core.contracts import Batch
from vauban.core.parameters import Count, Positive, Range, Whole
from vauban.engine.network import quiet, shown
from vauban.models.intervals import interval_margins
from vauban.models.sequential import steps_of, trained_steps
from vauban.training import registry
from vauban.training.criteria.cross_entropy import PLAIN
from vauban.training.objective import Criterion, Passes, Staged, Value, logits_of
from vauban.training.recipe import CRITERION, ObjectivePart


@dataclass(frozen=True)
class Tightness:
    """What a step of interval training is taken at: eps of the box, and the weight of the clean loss."""

    eps: float
    kappa: float


@dataclass
class IntervalObjective(Staged[Tightness]):
    """kappa J(z(x), y) + (1 - kappa) J(z', y), z'_k the upper bound of z_k - z_y over the box of radius eps, (10) and (12).

    In the first `warmup` steps eps is 0 and kappa 1; in the next `ramp` both go to their ends along a line.

    Attributes:
        eps: The last radius, pixel units of [0,1].
        kappa: The last weight of the clean loss.
        warmup, ramp: In steps.
        criterion: J.
    """

    eps: float
    kappa: float
    warmup: int
    ramp: int
    criterion: Criterion = PLAIN
    asks_answers: ClassVar[bool] = False

    @property
    def value_passes(self) -> Passes:
        return None  # intervals go through the layers and not through the network

    def made(self, network: nn.Module, batch: Batch, step: int) -> Tightness:
        share = min(max((step - self.warmup) / self.ramp, 0.0), 1.0)
        return Tightness(share * self.eps, 1 - share * (1 - self.kappa))

    def value(self, network: nn.Module, batch: Batch, made: Tightness) -> Value:
        logits = logits_of(network, batch.x, batch.y)
        x = shown(network, batch.x)
        box = (x - made.eps).clamp_min(0), (x + made.eps).clamp_max(1)
        worst = -interval_margins(trained_steps(network, "ibp"), box, batch.y)
        loss = made.kappa * self.criterion(logits, batch.y) + (1 - made.kappa) * self.criterion(worst, batch.y)
        return loss, logits.detach()


@registry.register("ibp", words=CRITERION)
@dataclass(frozen=True)
class IntervalTraining(ObjectivePart):
    """Training for interval bounds: the loss of the worst logits that intervals allow in a ball, and of the image itself.

    What `vauban certify --certificate ibp` bounds afterwards. Sequential networks without batch normalisation, as in the
    paper; the affine layers after the last activation are folded into the class differences.

    Attributes:
        eps: The last radius, pixel units of [0,1]; somewhat more than what is to be certified.
        kappa: The last weight of the clean loss.
        warmup: Steps of plain training before (2000 in the paper).
        ramp: Steps over which eps grows from 0 and kappa falls from 1 (10 000 in the paper).

    Raises:
        ContractError: Before anything is trained: a layer has no intervals, or the network is not its layers in a row.
    """

    eps: Positive = 0.1
    kappa: Annotated[float, Range(0, 1)] = 0.5
    warmup: Whole = 2000
    ramp: Count = 10_000

    def check(self, network: nn.Module, batch: Batch) -> None:
        trained_steps(network, "ibp")
        with quiet(list(network.modules())):
            steps_of(network, batch.x[:1], "ibp", rising=True)

    def objective(self, seed: int) -> IntervalObjective:
        return IntervalObjective(self.eps, self.kappa, self.warmup, self.ramp, self.criterion)
