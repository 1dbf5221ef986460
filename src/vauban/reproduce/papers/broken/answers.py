"""Changes inside a network or behind its logits that were published as defences."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WINNERS = 0.15  # share of the activations
BITS = 32  # of the error-correcting code
PERIOD = 4.0  # of the margin, in logits
DRAWS = 5  # of a self-ensemble


class After(nn.Module):
    """A network behind whose logits a function stands."""

    def __init__(self, network: nn.Module, operation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self.operation = network, operation

    def forward(self, x: Tensor) -> Tensor:
        return self.operation(self.network(x))


class WinnersTakeAll(nn.Module):
    """The largest activations of each image, the others zero: k-WTA, Xiao, Zhong, Zheng 2020, arXiv:1905.10510."""

    def forward(self, h: Tensor) -> Tensor:
        flat = h.flatten(1)
        least = flat.topk(max(1, int(WINNERS * flat.shape[1])), 1).values[:, -1:]
        return (flat * (flat >= least)).view_as(h)


def winners_take_all(network: nn.Module) -> nn.Module:
    """A copy of a network with k-WTA in the place of every ReLU; the paper trains it so."""
    changed = copy.deepcopy(network)
    for name, part in list(changed.named_modules()):
        if isinstance(part, nn.ReLU):
            parent, _, own = name.rpartition(".")
            setattr(changed.get_submodule(parent), own, WinnersTakeAll())
    return changed


def reversed_margin(z: Tensor) -> Tensor:
    """The margin reversed inside periods, labels kept (Chen et al. 2022, arXiv:2205.12134, against attacks by scores)."""
    top = z.topk(2, 1)
    lead = top.values[:, 0] - top.values[:, 1]
    turned = torch.floor(lead / PERIOD) * PERIOD + PERIOD - lead % PERIOD
    return z.scatter(1, top.indices[:, :1], (top.values[:, 1] + turned)[:, None])


def saturated(z: Tensor) -> Tensor:
    """Probabilities of logits at 1/500 of the temperature of training: what is left to differentiate of defensive
    distillation, Papernot et al. 2016, arXiv:1511.04508."""
    return (500 * z).softmax(1)


class ErrorCorrecting(nn.Module):
    """Bits of an output code, decided, and the agreement with each class's word: Verma and Swami 2019 (NeurIPS).

    The bits are read from the logits by the code itself; the paper trains networks of their own for them.
    """

    def __init__(self, network: nn.Module, classes: int = 10, hard: bool = True) -> None:
        super().__init__()
        self.network, self.hard = network, hard
        drawn = torch.randint(0, 2, (classes, BITS), generator=torch.Generator().manual_seed(3)).float()
        self.register_buffer("code", 2 * drawn - 1)

    def forward(self, x: Tensor) -> Tensor:
        code: Tensor = self.code  # type: ignore[assignment]
        z = self.network(x)
        bits = torch.tanh((z - z.mean(1, keepdim=True)) @ code)
        return (bits.sign() if self.hard else bits) @ code.T


class SelfEnsemble(nn.Module):
    """Mean probabilities over draws of Gaussian noise before the network: random self-ensemble, Liu et al. 2018,
    arXiv:1712.00673, which has noise before every layer."""

    def __init__(self, network: nn.Module, sigma: float = 0.15) -> None:
        super().__init__()
        self.network, self.sigma = network, sigma

    def forward(self, x: Tensor) -> Tensor:
        drawn = [self.network((x + self.sigma * torch.randn_like(x)).clamp(0, 1)).softmax(1) for _ in range(DRAWS)]
        return torch.stack(drawn).mean(0).log()


class LowPrecisionVote(nn.Module):
    """Votes of a network and copies of it with weights of few bits: EMPIR, Sen, Ravindran, Raghunathan 2020,
    arXiv:2004.10162, which trains each and rounds activations too."""

    def __init__(self, network: nn.Module, hard: bool = True) -> None:
        super().__init__()
        self.members = nn.ModuleList([copy.deepcopy(network), rounded(network, 4), rounded(network, 3)])
        self.hard = hard

    def forward(self, x: Tensor) -> Tensor:
        answers = torch.stack([member(x) for member in self.members])
        if not self.hard:
            return answers.log_softmax(2).mean(0)
        return F.one_hot(answers.argmax(2), answers.shape[2]).sum(0).to(x.dtype)


class SqueezedVote(nn.Module):
    """Votes of one network on an image as it is, with few grey levels and blurred: an ensemble of weak defences (He, Wei,
    Chen, Carlini, Song 2017, arXiv:1706.04701)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        seen = (x, (x * 3).round() / 3, F.avg_pool2d(x, 3, 1, 1))
        votes = [self.network(z).argmax(1) for z in seen]
        return torch.stack([F.one_hot(vote, 10).to(x.dtype) for vote in votes]).sum(0)


def rounded(network: nn.Module, bits: int) -> nn.Module:
    """A copy of a network whose weights have 2^bits values in each tensor."""
    copied = copy.deepcopy(network)
    with torch.no_grad():
        for weight in copied.parameters():
            step = weight.abs().max().clamp_min(1e-12) / (2 ** (bits - 1) - 1)
            weight.copy_((weight / step).round() * step)
    return copied
