"""Compiled forward of a network, where torch can compile it; elsewhere the network's own, which is told."""

from __future__ import annotations

import functools
import logging
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from vauban.core.rng import seeded
from vauban.engine.first_answer import first_answer, out_of_memory, reason
from vauban.engine.network import predict, quiet
from vauban.engine.threat import BoundThreat

log = logging.getLogger("vauban")
BACKEND = "inductor"
"""Of `torch.compile`. On a CPU it calls a C++ compiler."""


class Compiled(nn.Module):
    """A network whose forward is compiled in one graph, for any number of images.

    Args:
        network: The network; it stays as it is, with its modules and its weights.

    Attributes:
        failed: Why it runs as it is, in one line; "" while the compiled forward is used.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.failed = network, ""
        self._call: Callable[[Tensor], Any] = torch.compile(_plain(network), fullgraph=True, backend=BACKEND)

    def forward(self, x: Tensor) -> Any:
        if self.failed:
            return self.network(x)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the compiler on the code that it reads
                torch._dynamo.maybe_mark_dynamic(x, 0)
                return self._call(x)
        except Exception as error:
            if out_of_memory(error):
                raise
            answer = self.network(x)  # an error of the network's own is raised here
            self.failed = reason(error)[:160]
            log.warning("%s cannot be compiled and runs as it is: %s", type(self.network).__name__, self.failed)
            return answer


def _plain(network: nn.Module) -> Callable[[Tensor], Any]:
    """The call of a network as a function, which the compiler follows into the modules of torch."""

    def answer(x: Tensor) -> Any:
        return network(x)

    return answer


@functools.lru_cache(maxsize=8)  # a compiled network holds the network, so that no weak reference would let go of it
def compiled(network: nn.Module) -> Compiled:
    """The compiled network, made once for each of the last networks."""
    return Compiled(network)


def called(threat: BoundThreat, network: nn.Module) -> nn.Module:
    """What is called to ask a network of a threat."""
    return compiled(network) if threat.compiled else network


def compiles(network: nn.Module, x: Tensor) -> bool:
    """Whether a network can be compiled and then answers as it does itself, rtol 1e-3; said in a line where not.

    Args:
        network: The network; it draws no random numbers.
        x: Some images, `(batch, ...)`.
    """
    fast = compiled(network)
    with quiet(list(network.modules())), seeded("compiled", device=x.device):
        own, other = first_answer(network, x), predict(fast, x, precision="float32")
    scale = own.abs().amax().clamp_min(1e-6)
    if not fast.failed and not bool(((own - other).abs() <= 1e-3 * scale).all()):
        fast.failed = "its compiled answers are others"
        log.warning("%s is not compiled: %s", type(network).__name__, fast.failed)
    return not fast.failed
