"""RobustBench checkpoints (Croce et al. 2021, arXiv:2010.09670) without its package: by published name, or by architecture.

The module names follow the published checkpoints, so that their tensors load strictly.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from vauban.core.errors import ContractError, UnknownName
from vauban.models import registry, weights
from vauban.models.layers import Classes
from vauban.models.preact_resnet import PreActResNet18
from vauban.models.robustbench_zoo import (
    CIFAR10,
    CIFAR100,
    CLASSES,
    IMAGENET,
    NONE,
    THREATS,
    ZOO,
    Statistics,
    ZooNetwork,
)
from vauban.models.wide_resnet import WideResNet
from vauban.models.wrap import Normalised

STATISTICS = {"none": NONE, "cifar10": CIFAR10, "cifar100": CIFAR100, "imagenet": IMAGENET}
UNUSED = ("sub_block1.", "model_preact_hl1.")
"""Tensors that no forward pass uses: a copy of the first block, layers of another network."""
OWN = (("mu", "sigma"), ("mean", "std"), ("normalize.mean", "normalize.std"))
"""Names under which a checkpoint holds the mean and the std of its own."""


ARCHITECTURES = {
    "wrn-28-10": lambda classes, **_: WideResNet(28, 10, classes),
    "wrn-34-10": lambda classes, **_: WideResNet(34, 10, classes),
    "preact-resnet-18": lambda classes, **variant: PreActResNet18(classes, **variant),
}


def clean_keys(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of a checkpoint, their names without wrappers' prefixes, without those that no forward pass uses.

    Each name by itself: some checkpoints have the prefix in front of the network's names and not of mean and std.
    """
    cleaned = {}
    for name, value in state.items():
        while prefix := next((p for p in weights.PREFIXES if name.startswith(p)), None):
            name = name[len(prefix) :]
        if not name.startswith(UNUSED):
            cleaned[name] = value
    return cleaned


def checkpoint(network: ZooNetwork, classes: int, path: Path) -> Normalised:
    """The network of a published checkpoint, behind its own mean and std where the file holds them.

    Raises:
        ContractError: One line with the file: it is not readable, or every difference of names and shapes.
    """
    state = clean_keys(weights.read(path, network.entry))
    statistics = _own_statistics(state, network.statistics)
    with torch.device("meta"):
        module = network.make(classes=classes)
    for (
        name,
        buffer,
    ) in module.named_buffers():  # counters that torch did not write before 0.4.1, and that nothing reads
        if name.endswith("num_batches_tracked"):
            state.setdefault(name, torch.zeros((), dtype=buffer.dtype))
    module = module.to_empty(device="cpu")
    weights.fit_state(module, state, path)
    return Normalised(module, *statistics)


def _own_statistics(state: dict[str, Tensor], usual: Statistics) -> Statistics:
    """Mean and std of a checkpoint, taken out of its tensors; the usual ones where it holds none."""
    for mean, std in OWN:
        if mean in state and std in state:
            return state.pop(mean).flatten().tolist(), state.pop(std).flatten().tolist()
    return usual


def named(name: str, data: str, threat: str) -> ZooNetwork:
    """The network of a published name. Raises UnknownName and ContractError, which say where there is one of that name."""
    boards = {board.lower(): board for board in THREATS}
    if data not in CLASSES:
        raise UnknownName("data set of RobustBench", data, CLASSES)
    if threat.lower() not in boards:
        raise UnknownName("threat of RobustBench", threat, THREATS)
    board = ZOO.get((data, boards[threat.lower()]), {})
    if name in board:
        return board[name]
    if elsewhere := [f"data={d},threat={t}" for (d, t), names in ZOO.items() if name in names]:
        raise ContractError(
            f"expected {name} among those of {data}, {threat}, got one of {' and '.join(elsewhere)}; add that"
        )
    raise UnknownName(f"RobustBench network of {data}, {threat}", name, board)


def located(folder: Path, name: str, data: str, threat: str) -> Path:
    """The file of a name below a folder, in RobustBench's layout or directly in it. Raises ContractError."""
    board = next((board for board in THREATS if board.lower() == threat.lower()), threat)
    places = (folder / data / board / f"{name}.pt", folder / board / f"{name}.pt", folder / f"{name}.pt")
    for path in places:
        if path.is_file():
            return path
    raise ContractError(
        f"expected {places[0]} or {places[-1]}, there is neither; download the checkpoint from RobustBench's model zoo"
    )


@registry.register("robustbench", positional="arch", weights="own", data="cifar10")
def robustbench(
    arch: str | None = None,
    file: str | None = None,
    classes: Classes | None = None,
    normalise: str = "none",
    last_norm: bool = False,
    post: bool = False,
    name: str | None = None,
    folder: str | None = None,
    threat: str = "Linf",
    data: str = "cifar10",
) -> Normalised:
    """A RobustBench checkpoint from a local folder: `robustbench:name=Carmon2019Unlabeled,folder=models,threat=Linf`.

    By name the architecture, the mean and std and the entry of the file are those of RobustBench's model zoo. A file that
    has no such name goes beside its architecture: `robustbench:wrn-28-10,file=mine.pt`. Tensors only (weights_only): a
    checkpoint that holds objects is refused.

    Args:
        arch: Name of the architecture; a published name is taken as `name`.
        file: Path of the checkpoint.
        classes: Number of classes; None for 10, and for that of `data` beside a name.
        normalise: Statistics beside an architecture: none, cifar10, cifar100 or imagenet.
        last_norm: As of `PreActResNet18`, beside an architecture.
        post: As of `PreActResNet18`, beside an architecture.
        name: Published name.
        folder: Where the files are: FOLDER/cifar10/Linf/NAME.pt, as RobustBench keeps them, or FOLDER/NAME.pt.
        threat: Linf, L2 or corruptions, of a name.
        data: cifar10, cifar100 or imagenet, of a name.

    Raises:
        UnknownName: There are no such name, architecture or statistics.
        ContractError: The file is absent, not readable or does not fit.
    """
    if name is None and arch is not None and any(arch in names for names in ZOO.values()):
        name, arch = arch, None
    if name is not None:
        if arch is not None or (folder is None) == (file is None):
            raise ContractError(f"expected folder=DIR (or file=CHECKPOINT.pt) alone beside robustbench:name={name}")
        network = named(name, data, threat)
        path = located(Path(folder).expanduser(), name, data, threat) if folder is not None else Path(str(file))
        return checkpoint(network, CLASSES[data] if classes is None else classes, path.expanduser())
    if arch not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise UnknownName(f"architecture (one of {known}; a checkpoint goes into file=)", str(arch), ARCHITECTURES)
    if file is None:
        raise ContractError(
            f"expected file=CHECKPOINT.pt for robustbench:{arch}; checkpoints are linked in RobustBench's model zoo"
        )
    if normalise not in STATISTICS:
        raise UnknownName("statistics", normalise, STATISTICS)
    make = partial(ARCHITECTURES[arch], last_norm=last_norm, post=post)
    return checkpoint(ZooNetwork(make, STATISTICS[normalise]), classes or 10, Path(file).expanduser())
