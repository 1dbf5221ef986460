"""What an attack reads from the device while it runs: nothing in a step, and which rows are done in every fourth.

Counted on the CPU by the operations that would make the host wait for an accelerator, while the engine goes the ways that
it goes there. What steps cost is the difference of a longer and a shorter run.
"""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from vauban.core import tensors
from vauban.engine import BoundThreat, Oracle, Result

every_attack = runpy.run_path(str(Path(__file__).with_name("test_every_attack.py")), run_name="every_attack")
CASES, attack_of = every_attack["CASES"], every_attack["attack_of"]
READ = {"_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero", "_unique2", "unique_dim"}
COPIED = {"tolist", "numpy", "cpu", "__array__"}
ALLOWED = {  # for each question to the network; all others 1/4
    "boundary": 2.2,  # which walks go on, and which of them are asked
    "hopskipjump": 4.0,  # bisections end row by row
    "rays": 1.0,  # which directions are left
    "jsma": 1.0,  # which rows have a pair left
    "cw-l0": 1.0,  # rounds end row by row
    "cw-linf": 1.0,
    "cia": 0.6,
    "deepfool": 0.6,
    "fab-t": 0.6,
    "apgd-t": 0.6,
    "standard": 0.6,
    "autoattack": 0.6,
}
RADIUS = {"linf": 0.02, "l2": 0.15, "l1": 0.5, "l0": 1.0}  # most images stand
FIRST = list({name: (name, norm) for name, norm in reversed(CASES)}.values())


class Counted(TorchDispatchMode):
    """Counts the operations whose result the host needs: `reads`."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        masked = name.startswith("index") and any(
            isinstance(i, Tensor) and i.dtype == torch.bool
            for i in (args[1] if isinstance(args[1], (list, tuple)) else ())
        )
        elsewhere = name == "_to_copy" and (kwargs or {}).get("device") not in (None, torch.device("cpu"))
        self.reads += name in READ or masked or elsewhere
        return func(*args, **(kwargs or {}))


class Copies(TorchFunctionMode):
    """Adds what copies a tensor to the host without an operation of its own."""

    def __init__(self, counted: Counted) -> None:
        super().__init__()
        self.counted = counted

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.counted.reads += getattr(func, "__name__", "") in COPIED
        return func(*args, **(kwargs or {}))


@pytest.fixture(scope="module")
def network() -> nn.Module:
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10)).requires_grad_(False)
    for k, p in enumerate(net.parameters()):
        p.copy_((torch.arange(p.numel()).mul(12.9898 + k).sin() * 437.58).frac().view(p.shape) * p.shape[-1] ** -0.5)
    return net.eval()


def run(name: str, norm: str, network: nn.Module, steps: int) -> tuple[Result, int, int]:
    """The result, the reads and the questions of a run."""
    x = (torch.arange(5 * 64).mul(37).remainder(256) / 255).view(5, 1, 8, 8)
    oracle = Oracle.open(BoundThreat(network), x, network(x).argmax(1))
    counted = Counted()
    with counted, Copies(counted):
        result = attack_of(name, norm, radius=RADIUS[norm], steps=steps).run(oracle)
    return result, counted.reads, oracle.pass_count.calls


@pytest.mark.slow
@pytest.mark.parametrize(("name", "norm"), FIRST, ids=[name for name, _ in FIRST])
def test_steps_do_not_wait_for_the_device(
    name: str, norm: str, network: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_cpu = run(name, norm, network, 4)[0]
    monkeypatch.setattr(tensors, "AT_ONCE", "nowhere")
    short, reads, calls = run(name, norm, network, 4)
    _, more_reads, more_calls = run(name, norm, network, 12)
    dropped = 5  # a read for each time that rows are left out, at most once each
    assert more_reads - reads <= ALLOWED.get(name, 0.25) * (more_calls - calls) + dropped, (reads, more_reads)
    assert torch.equal(short.success, on_cpu.success)
    torch.testing.assert_close(short.adversarial, on_cpu.adversarial)
    torch.testing.assert_close(short.distance, on_cpu.distance)


def test_what_is_counted_is_what_the_host_waits_for() -> None:
    x = torch.arange(6.0)
    for read in (lambda: bool((x > 1).any()), lambda: x[x > 1], lambda: x.nonzero(), x.tolist, lambda: float(x[0])):
        counted = Counted()
        with counted, Copies(counted):
            read()
        assert counted.reads == 1
    counted = Counted()
    with counted, Copies(counted):
        torch.where(x > 1, x, 0).index_select(0, torch.arange(3)).sum()
        x[torch.tensor([1, 2])].clone()
    assert counted.reads == 0
