"""What detectors and the second stage of S2SNet cost beyond their passes: `python -m benchmarks.detectors`.

A detector's verdict on 128 images against the same forwards of network and auto-encoder by hand, and a step of the second
stage against its forward and backward by hand. The contenders take turns.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import vauban as vb
from benchmarks import setting
from benchmarks.tables import publish, table
from benchmarks.timing import CLOCKS, interleaved, ratio
from vauban.core.contracts import Batch
from vauban.data.dataset import Dataset, InMemory
from vauban.defences.autoencoders.segnet import SegNet
from vauban.engine.samples import Subset
from vauban.training.loop import optimise

BATCH = 128
Task = Callable[[], object]


def fitted(data: Dataset, network: nn.Module, folder: Path) -> dict[str, nn.Module]:
    """Each detector in front of the network, by what its passes are."""
    plain = folder / "plain.safetensors"
    vb.fit("auto-encoder:epochs=1", None, data, plain)
    words = {
        "mahalanobis": "",
        "kernel-density": "",
        "pca-whitening": "",
        "noise-reduction": "",
        "feature-squeezing": "",
        "magnet": f"autoencoder={plain}",
        "dropout-uncertainty": "rate=0.3",
    }
    made = {}
    for name, given in words.items():
        path = folder / f"{name}.safetensors"
        vb.fit(f"{name}:fpr=0.2{',' if given else ''}{given}", network, data, path)
        extra = f",{given}" if given else ""
        made[name] = vb.defences.load(f"{name}:file={path}{extra}").wrap(network).eval()
    return made


def by_hand(name: str, network: nn.Module, autoencoder: nn.Module, defended: nn.Module, x: Tensor) -> Task:
    """The forwards of a detector's verdict, nothing else of it."""

    def passes() -> object:
        if name == "magnet":
            return network(x), network(autoencoder(x))
        if name == "dropout-uncertainty":
            return [network(x) for _ in range(int(defended.scorer.passes))]  # type: ignore[union-attr,arg-type]
        if name == "noise-reduction":
            return network(x), network(x)
        if name == "feature-squeezing":
            return [network(x) for _ in range(3)], [squeeze(x) for squeeze in defended.scorer.squeezers]  # type: ignore
        return network(x)

    return passes


def verdicts(network: nn.Module, data: Dataset, rounds: int, clock: str) -> list[list[object]]:
    """A row for each detector."""
    rows: list[list[object]] = []
    x = data.take(BATCH).x
    autoencoder = SegNet(x.shape[1], "shallow").eval()
    with TemporaryDirectory() as folder, torch.no_grad():
        with torch.enable_grad():
            detectors = fitted(data, network, Path(folder))
        for name, defended in detectors.items():
            tasks: dict[str, Task] = {
                "ours": lambda defended=defended: defended(x),
                "hand": by_hand(name, network, autoencoder, defended, x),
            }
            rows.append([f"verdict of {name}", ratio(interleaved(tasks, rounds, clock=CLOCKS[clock]), "ours", "hand")])
    return rows


def second_stage(network: nn.Module, data: Dataset, rounds: int, clock: str) -> list[object]:
    """Two epochs of the second stage against the same steps by hand."""
    autoencoder = SegNet(data.shape[0], "shallow").eval()
    part = Subset(data, torch.arange(4 * BATCH))
    frozen = copy.deepcopy(network).eval()
    whole = nn.Sequential(autoencoder, frozen)
    for parameter in frozen.parameters():
        parameter.requires_grad_(False)

    def ours() -> None:
        optimise(
            whole,
            part,
            epochs=2,
            batch=BATCH,
            trainable=lambda _: autoencoder.decoder.parameters(),
            training_mode=lambda _: autoencoder.decoder.modules(),
        )

    def hand() -> None:
        for name, parameter in autoencoder.named_parameters():
            parameter.requires_grad_(name.startswith("decoder"))
        autoencoder.decoder.train()
        steps = torch.optim.Adam(autoencoder.decoder.parameters(), lr=1e-3)
        for _ in range(2):
            for index in torch.randperm(len(part)).split(BATCH):
                batch: Batch = part.batch(index)
                steps.zero_grad(set_to_none=True)
                F.cross_entropy(whole(batch.x), batch.y).backward()  # type: ignore[no-untyped-call]
                steps.step()
        autoencoder.eval()

    seconds = interleaved({"ours": ours, "hand": hand}, rounds, clock=CLOCKS[clock])
    return ["second stage of s2snet, eight steps", ratio(seconds, "ours", "hand")]


def main() -> None:
    options = setting.read(setting.arguments("What detectors and S2SNet cost.", images=1024, rounds=9))
    images = setting.images(options.data_root)
    network, said = setting.network(options.weights, images)
    held = images.train.batch(torch.arange(options.images))
    pixels = InMemory((held.x * 255).round().to(torch.uint8))
    data = Dataset("images", "", pixels, held.y, tuple("0123456789"))
    rows = verdicts(network.eval(), data, options.rounds, options.clock)
    rows.append(second_stage(network, data, max(3, options.rounds // 2), options.clock))
    machine = f"{said}, batches of {BATCH}, {images.name}, {options.clock} time, {setting.machine()}"
    publish("detectors", table(["", "ratio"], rows), machine, options.write)


if __name__ == "__main__":
    main()
