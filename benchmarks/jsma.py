"""JSMA's time per image beside torchattacks and ART: `python -m benchmarks.jsma`.

Same network, images, targets, theta and gamma. torchattacks is looked for as in `benchmarks.peers`; ART likewise:
`pip install --no-deps --target .venv/peers adversarial-robustness-toolbox==1.20.1 six`. Neither runs the same algorithm:
each peer's own departures stand in DEPARTURES, so success and distance are shown beside the time.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from benchmarks import setting
from benchmarks.contenders import available
from benchmarks.passes import Traced
from benchmarks.tables import publish, table
from benchmarks.timing import CLOCKS, Clock, interleaved, ratio
from vauban import attacks
from vauban.core.goals import Targeted
from vauban.core.norms import L0
from vauban.engine import BoundThreat, Oracle

Call = Callable[[nn.Module, Tensor, Tensor, Tensor], Tensor]
"""`(network, x, y, target) -> images`."""
DEPARTURES = (
    "torchattacks attacks one image at a time, differentiates every class, rounds the number of steps up, and drops a "
    "feature after one change. ART ranks single features by the target's gradient alone instead of pairs by alpha and "
    "beta, and stops after gamma is passed; its default is one image at a time."
)


def ours(
    theta: float, gamma: float, output: str, signs: str, network: nn.Module, x: Tensor, y: Tensor, target: Tensor
) -> Tensor:
    attack = attacks.JSMA(theta=theta, gamma=gamma, output=output, signs=signs)
    return attack.run(Oracle.open(BoundThreat(network, levels=None), x, y, Targeted(target))).crafted


def torchattacks(theta: float, gamma: float, network: nn.Module, x: Tensor, y: Tensor, target: Tensor) -> Tensor:
    from torchattacks import JSMA

    attack = JSMA(network, theta=theta, gamma=gamma)
    attack.set_mode_targeted_by_label(quiet=True)
    return attack(x, target)  # type: ignore[no-any-return]


def art(theta: float, gamma: float, batch: int, network: nn.Module, x: Tensor, y: Tensor, target: Tensor) -> Tensor:
    from art.attacks.evasion import SaliencyMapMethod
    from art.estimators.classification import PyTorchClassifier

    with torch.no_grad():
        classes = network(x[:1]).shape[1]
    wrapped = PyTorchClassifier(
        network, nn.CrossEntropyLoss(), tuple(x.shape[1:]), classes, clip_values=(0.0, 1.0), device_type="cpu"
    )
    attack = SaliencyMapMethod(wrapped, theta=theta, gamma=gamma, batch_size=batch, verbose=False)
    return torch.from_numpy(attack.generate(x.numpy(), target.numpy()))


def contenders(theta: float, gamma: float, images: int, only: str = "") -> dict[str, Call]:
    """Ours in one batch, by logits, by softmax, and with steps of both signs; torchattacks; ART with its default batch of
    1, and in one. only: the peers whose name contains it."""
    runs: dict[str, Call] = {
        "vauban": partial(ours, theta, gamma, "logits", "one"),
        "vauban, softmax": partial(ours, theta, gamma, "softmax", "one"),
        "vauban, softmax, both signs": partial(ours, theta, gamma, "softmax", "both"),
    }
    peers: dict[str, Call] = {}
    if available("torchattacks"):
        peers["torchattacks"] = partial(torchattacks, theta, gamma)
    if available("art"):
        peers["ART, batch 1"] = partial(art, theta, gamma, 1)
        peers[f"ART, batch {images}"] = partial(art, theta, gamma, images)
    return runs | {name: call for name, call in peers.items() if only in name}


def compare(
    runs: dict[str, Call], network: nn.Module, x: Tensor, y: Tensor, rounds: int, clock: Clock = time.perf_counter
) -> list[list[object]]:
    """Rows: toolkit, passes per image, milliseconds per image, time over ours, success, median L0 of the successes."""
    target = (y + 1) % 10
    found: dict[str, Tensor] = {}
    traced = {name: Traced(network) for name in runs}

    def call(name: str) -> None:
        traced[name].reset()
        found[name] = runs[name](traced[name], x.clone(), y, target).detach()

    slow = [name for name in runs if name in ("torchattacks", "ART, batch 1")]
    seconds = interleaved({name: partial(call, name) for name in runs}, rounds, slow, clock)
    rows: list[list[object]] = []
    for name, images in found.items():
        with torch.no_grad():
            reached = network(images).argmax(1) == target
        size = L0.size(images - x)[reached]
        passes = f"{traced[name].forwards / len(x):.1f} + {traced[name].backwards / len(x):.1f}"
        took = 1000 * statistics.median(seconds[name]) / len(x)
        median = float(size.median()) if len(size) else float("nan")
        rows.append([name, passes, took, ratio(seconds, name, "vauban"), float(reached.float().mean()), median])
    return rows


def main() -> None:
    parser = setting.arguments("JSMA beside torchattacks and ART.", images=64, rounds=3)
    parser.add_argument("--theta", type=float, default=1.0)
    parser.add_argument("--gamma", type=float, default=0.145)
    parser.add_argument("--only", default="", help="peers whose name contains this")
    options = setting.read(parser)
    data = setting.images(options.data_root)
    network, described = setting.network(options.weights, data)
    x, y = setting.correct(network, data, options.images)
    runs = contenders(options.theta, options.gamma, len(x), options.only)
    rows = compare(runs, network, x, y, options.rounds, CLOCKS[options.clock])
    header = ["toolkit", "f + b per image", "ms per image", "time / ours", "success", "median L0"]
    text = (
        f"{described}, {len(x)} correctly labelled test images of {data.name}, unrounded, theta {options.theta}, gamma "
        f"{options.gamma}, target (y + 1) mod 10, {options.clock} time. {DEPARTURES}\n\n{table(header, rows)}"
    )
    publish("jsma", text, setting.machine(), options.write)


if __name__ == "__main__":
    main()
