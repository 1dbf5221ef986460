"""Declared ranges of smooth attacks: what they add, and what the plain attack behind them declares."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from vauban.attacks.smooth.bp import SmoothBP
from vauban.attacks.smooth.ddn import SmoothDDN
from vauban.attacks.smooth.pairwise import PairwiseCW
from vauban.attacks.smooth.qbim import QBIM
from vauban.attacks.smooth.qfgsm import QFGSM
from vauban.attacks.smooth.qpgd2 import QPGD2
from vauban.attacks.smooth.scw import SCW
from vauban.core.errors import ContractError

GUIDED = (SmoothBP, SmoothDDN, QBIM, QFGSM, QPGD2, SCW)
HINGED = (SCW, PairwiseCW)
NO_NUMBERS: tuple[Any, ...] = (math.nan, math.inf, "3", True)
BELOW_0, BELOW_1 = -math.nextafter(0, 1), math.nextafter(1, 0)
COUNTS = ((1, 1000), (0, 1.0))
POSITIVE = ((-BELOW_0, 1e6), (0.0, BELOW_0))
NOT_NEGATIVE = ((0, 0.0, 1e6), (BELOW_0,))
CASES: list[tuple[Any, str, tuple[tuple[Any, ...], tuple[Any, ...]]]] = [
    *((kind, "smoothness", ((0, 0.0, BELOW_1), (BELOW_0, 1, 1.0))) for kind in GUIDED),
    *((kind, "tol", POSITIVE) for kind in GUIDED),
    *((kind, "limit", COUNTS) for kind in GUIDED),
    *((kind, "rate", NOT_NEGATIVE) for kind in (*GUIDED, PairwiseCW)),
    *((kind, name, COUNTS) for kind in HINGED for name in ("search_steps", "steps")),
    *((kind, name, POSITIVE) for kind in HINGED for name in ("lr", "c")),
    *((kind, "kappa", NOT_NEGATIVE) for kind in HINGED),
    (PairwiseCW, "mu", NOT_NEGATIVE),
]


@pytest.mark.parametrize(("kind", "field", "values"), CASES, ids=lambda v: getattr(v, "__name__", v))
def test_values_outside_are_refused_in_one_line(kind: Any, field: str, values: Any) -> None:
    inside, outside = values
    for value in inside:
        assert getattr(kind(**{field: value}), field) == value
    for wrong in (*outside, *NO_NUMBERS, None):
        with pytest.raises(ContractError, match=f"expected {field} of {kind.__name__} as") as error:
            kind(**{field: wrong})
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", [*GUIDED, PairwiseCW])
def test_choices(kind: Any) -> None:
    for field, known in (("shape", "gaussian, laplacian"), ("channels", "joint, each")):
        with pytest.raises(ContractError, match=f"expected {field} of {kind.__name__} as one of {known}, got 'round'"):
            kind(**{field: "round"})


def test_the_step_of_qpgd2_is_the_sources_unless_told() -> None:
    assert QPGD2().stepsize(torch.tensor(5.0)) == pytest.approx(3.0)
    assert QPGD2(abs_stepsize=2.0).stepsize(torch.tensor(5.0)) == 2.0
    for wrong in (0.0, -1.0, *NO_NUMBERS):
        with pytest.raises(
            ContractError, match=r"expected rel_stepsize of QPGD2 as a (finite )?number above 0 or none"
        ):
            QPGD2(rel_stepsize=wrong)


@pytest.mark.parametrize("kind", [SmoothBP, SmoothDDN, QBIM, QPGD2])
def test_what_the_plain_attack_declares_holds_behind_the_smoothing(kind: Any) -> None:
    for wrong in (True, 2.0, "3"):
        with pytest.raises(ContractError, match=f"expected steps of {kind.__name__} as a whole number"):
            kind(steps=wrong)
