"""What an attack says of parameters that it has not: a budget is a norm with a radius."""

from __future__ import annotations

import copy
import pickle

import pytest

from vauban import L2, Linf, attacks
from vauban.core.errors import ContractError, UnknownName


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: attacks.PGD(eps=8 / 255), r"PGD\(vb.Linf\(0.0313725\)\), got eps="),
        (lambda: attacks.FGSM(8 / 255), r"FGSM\(vb.Linf\(0.0313725\)\), got 0.03"),
        (lambda: attacks.APGD(eps=0.5, norm="L2"), r"APGD\(vb.L2\(0.5\)\)"),
        (lambda: attacks.Standard(eps=1), r"Standard\(vb.Linf\(1\)\)"),
    ],
)
def test_a_number_for_a_budget_is_answered_with_how_it_is_written(make, said: str) -> None:
    with pytest.raises(ContractError, match=said):
        make()


def test_an_unknown_parameter_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'steps'"):
        attacks.PGD(Linf(0.1), step=3)
    with pytest.raises(UnknownName, match="'ball'"):
        attacks.DDN(ball=L2(0.1))


def test_what_is_known_is_made_copied_and_read_back() -> None:
    attack = attacks.PGD(ball=L2(1), steps=3)
    assert attack == copy.deepcopy(attack) == pickle.loads(pickle.dumps(attack)) == attacks.PGD(L2(1), 3)
