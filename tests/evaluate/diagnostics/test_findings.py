"""Findings as data: when a rule fires, how it is stored, how it is summed up."""

from __future__ import annotations

import json

import pytest

from vauban.core.errors import ContractError
from vauban.evaluate.diagnostics import indicators_rules, preflight_rules
from vauban.evaluate.diagnostics.findings import Finding, Rule, fired, verdict

RULE = Rule("some-code", "warning", 0.1, "reason", "do {what}.", "stop")


@pytest.mark.parametrize(
    ("count", "of", "fires"),
    [
        (1, 1, True),
        (1, 2, False),
        (2, 2, True),
        (2, 3, False),
        (2, 10, False),
        (3, 10, True),
        (6, 64, False),
        (7, 64, True),
        (0, 5, False),
        (0, 0, False),
    ],
)
def test_a_rule_needs_its_share_and_three_samples(count: int, of: int, fires: bool) -> None:
    assert RULE.on(count, of, what="this").fires is fires


def test_finding_survives_json() -> None:
    finding = RULE.on(7, 10, what="this").finding()
    assert finding == Finding("some-code", "warning", "7 of 10 samples do this.", "stop", 0.7, 0.1)
    assert Finding.from_json(json.loads(json.dumps(finding.to_json()))) == finding


@pytest.mark.parametrize("change", [{"severity": "fatal"}, {"extra": 1}])
def test_foreign_json_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ContractError, match="expected a finding"):
        Finding.from_json({**RULE.on(1, 1, what="").finding().to_json(), **change})


def test_verdict_never_promises_anything() -> None:
    info, invalid = (Finding(c, s, "", "", 1.0, 0.0) for c, s in (("a", "info"), ("b", "invalid")))
    warning = RULE.on(7, 10, what="").finding()
    assert verdict([]) == verdict([info]) == "no evidence of masking found"
    assert verdict([warning, warning]) == "the attacks may be weaker than they look: some-code"
    assert verdict([info, warning, invalid]).startswith("these numbers cannot be relied on: b; ")


def test_gravest_first() -> None:
    grave = Rule("grave", "invalid", 0.0, "", "", "")
    assert [f.code for f in fired([RULE.on(9, 9, what=""), grave.on(9, 9), grave.on(0, 9)])] == ["grave", "some-code"]


def test_no_rule_claims_robustness_and_codes_are_unique() -> None:
    rules = [r for m in (preflight_rules, indicators_rules) for r in vars(m).values() if isinstance(r, Rule)]
    assert len({r.code for r in rules}) == len(rules) > 25
    for rule in rules:
        assert rule.because
        assert 0 <= rule.threshold < 1
        for text in (rule.means, rule.advice):
            assert text
            assert not any(word in text for word in ("robust", "survives", "strongest", "secure"))
