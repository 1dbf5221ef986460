"""A network behind its defence with the data that it is judged on, opened and checked before anything is spent."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from vauban.core.answers import check_answerable
from vauban.core.cards import rejecting
from vauban.core.device import check_device
from vauban.data import Dataset
from vauban.engine.first_answer import first_answer
from vauban.engine.network import check_gradients, quiet
from vauban.words import data as datasets
from vauban.words.defence import TRAINED, defence_of
from vauban.words.model import model_of, put_back, tell_behind
from vauban.words.named import Named


@dataclass(frozen=True, eq=False)
class OpenedNetwork:
    """What a command about one network works on.

    Attributes:
        model, defence: The network and what stands in front of it, named; what it was trained behind for `trained`.
        defended: The network behind the defence, on the device.
        data: The images.
        device: Where the network is.
    """

    model: Named[nn.Module]
    defence: Named[Any]
    defended: nn.Module
    data: Dataset
    device: str


def open_network(
    model: Any,
    data: Any,
    *,
    defence: Any = "none",
    device: str = "cpu",
    rejects: bool = False,
    root: str | Path | None = None,
    download: bool = False,
) -> OpenedNetwork:
    """A network behind its defence, which has answered one image.

    Raises:
        UnknownName: A name or a parameter is not known.
        ContractError: What is given does not go together, or the network does not fit the images.
    """
    check_device(device)
    check_gradients()
    behind, network = defence_of(defence), model_of(model, rejects)
    samples = datasets.load(data, root=root, download=download)
    behind = put_back(network) if behind.name == TRAINED else behind
    if behind.name != network.behind:
        tell_behind(network.name, network.behind)
    defended = behind.value.wrap(network.value).to(device)
    with quiet(list(defended.modules())):
        logits = first_answer(defended, samples.take(1).to(device).x).shape[1]
    check_answerable(samples.y, len(samples), logits, rejecting(defended))
    return OpenedNetwork(network, behind, defended, samples, device)
