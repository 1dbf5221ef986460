"""Run by test_checkpoint in a process of its own, which kills itself with SIGKILL in a given step."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import torch
from torch import nn

from vauban.attacks.fixed_budget.pgd import PGD
from vauban.core.contracts import Batch
from vauban.core.norms import Linf
from vauban.core.rng import seeded
from vauban.training.loop import optimise
from vauban.training.objectives.adversarial import AdversarialTraining

checkpoint, end, dies = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
x = torch.rand(60, 1, 4, 4, generator=torch.Generator().manual_seed(0))
data = Batch(x, (x.mean((1, 2, 3)) > x.mean()).long(), torch.arange(60), None)
with seeded(0):
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.BatchNorm1d(8), nn.Dropout(0.2), nn.Linear(8, 2))


class Mortal:
    """The adversarial objective, in a process that dies."""

    def __init__(self) -> None:
        self.inner = AdversarialTraining(PGD(Linf(0.1), steps=2)).objective(0)

    def __call__(self, net: nn.Module, batch: Batch, step: int) -> tuple[torch.Tensor, torch.Tensor | None]:
        if step == dies:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.inner(net, batch, step)


optimise(network, data, epochs=4, batch=12, objective=Mortal(), checkpoint=checkpoint)
torch.save(network.state_dict(), end)
