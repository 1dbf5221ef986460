"""Linear readout: where no classifier is found inside, features of a submodule fitted to the network's answers."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vauban.evaluate.adaptation.calls import Call
from vauban.evaluate.adaptation.substitutes import least_squares
from vauban.threats.auto import Way
from vauban.threats.inside import InnerClassifier, carrier

PLACES = 2  # submodules that are tried, the last ones
SHARPNESS = 10.0  # logits of the readout for an answer of one


def readout(whole: nn.Module, calls: list[Call], logits: Tensor, x: Tensor, few: Tensor) -> Iterator[Way]:
    """Ways through the last submodules that return vectors.

    Args:
        whole: The network.
        calls: Of its submodules, on x.
        logits: Its answers on x, `(n, columns)`.
        x: Images `(n, ...)`.
        few: Those that are attacked.
    """
    wanted = F.one_hot(logits.argmax(1), logits.shape[1]).to(x.dtype)
    vectors = [
        call for call in calls if call.output.dim() == 2 and len(call.output) == len(x) and call.output.shape[1] > 1
    ]
    for call in vectors[-PLACES:][::-1]:
        weight, bias = least_squares(call.output, wanted)
        head = nn.Linear(weight.shape[1], weight.shape[0]).to(x.device)
        with torch.no_grad():
            head.weight.copy_(SHARPNESS * weight)
            head.bias.copy_(SHARPNESS * bias)
        said = f"a linear readout of {type(call.module).__name__} ({call.name}), fitted to the answers, was attacked"
        straight = carrier(few, call.given[: len(few)]) is not None
        for through in (False, True) if straight else (False,):
            name = f"readout({call.name}{',straight' if through else ''})"
            yield Way(name, said, ((InnerClassifier(whole, call.name, through, None, head.eval()), 1.0),))
