"""Counting passes at the network itself, so that every toolkit is counted by the same rule."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass
class Pass:
    """One forward of `rows` samples and how many backwards followed it."""

    rows: int
    backwards: int = 0


class Traced(nn.Module):
    """A network that keeps a list of the passes through it."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.training = inner.training  # some toolkits warn of a module in training mode
        self.trace: list[Pass] = []

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.inner(x)
        done = Pass(len(x))
        self.trace.append(done)
        if logits.requires_grad:
            logits.register_hook(lambda _: _count(done))
        return logits

    @property
    def forwards(self) -> int:
        """Samples that went forward."""
        return sum(p.rows for p in self.trace)

    @property
    def backwards(self) -> int:
        """Samples that went backward."""
        return sum(p.rows * p.backwards for p in self.trace)

    def reset(self) -> None:
        self.trace = []


def _count(done: Pass) -> None:
    done.backwards += 1


def replay(network: nn.Module, x: Tensor, y: Tensor, trace: list[Pass]) -> None:
    """The same passes on the bare network: gradients with respect to the input only, nothing else.

    One backward differentiates the summed cross-entropy, several differentiate one logit each.
    """
    for done in trace:
        if not done.backwards:
            with torch.no_grad():
                network(x[: done.rows])
            continue
        leaf = x[: done.rows].detach().requires_grad_(True)
        logits = network(leaf)
        if done.backwards == 1:
            torch.autograd.grad(F.cross_entropy(logits, y[: done.rows], reduction="sum"), leaf)
            continue
        for k in range(done.backwards):
            torch.autograd.grad(logits[:, k].sum(), leaf, retain_graph=k + 1 < done.backwards)
