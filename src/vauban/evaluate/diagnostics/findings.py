"""Findings: what a diagnostic measured, what it means for the numbers, and what to do about it. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from vauban.core.errors import ContractError, plural

Severity = Literal["info", "warning", "invalid"]
LEAST = 3  # samples; two runs of a sound attack differ on one or two of the 32 or 64 that are examined
NOTHING_FOUND = "no evidence of masking found"


@dataclass(frozen=True)
class Finding:
    """code: stable name. severity: info (know it), warning (the numbers may say less than they seem to), invalid (they
    cannot be relied on). share: of the samples examined, in [0,1]. threshold: the share above which the rule speaks."""

    code: str
    severity: Severity
    message: str
    advice: str
    share: float
    threshold: float

    def to_json(self) -> dict[str, Any]:
        """A dictionary of strings and numbers."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Finding:
        """The finding that `to_json` wrote; raises ContractError on missing or unknown keys or severities."""
        if set(data) != set(cls.__dataclass_fields__) or data["severity"] not in get_args(Severity):
            raise ContractError(
                f"expected a finding with {', '.join(cls.__dataclass_fields__)}, got {dict(data)}; was it edited by hand?"
            )
        return cls(**data)


@dataclass(frozen=True)
class Rule:
    """A finding in waiting. It fires when more than `threshold` of the samples show it, and at least `least` of them (all
    of them, when there are fewer): one or two odd samples are no finding, unless a rule counts what must never be.

    because: why the threshold lies where it does. means: completes 'k of n samples ...'; {names} are filled in, and the
    words of `NUMBERED` agree with k.
    """

    code: str
    severity: Severity
    threshold: float
    because: str
    means: str
    advice: str
    least: int = LEAST

    def on(self, count: int, of: int, **facts: object) -> Measured:
        """The rule applied to `count` of `of` samples."""
        return Measured(self, count, of, facts)


NUMBERED = {"are": "is", "were": "was", "have": "has", "get": "gets", "change": "changes", "they": "it", "their": "its"}
"""Words of a rule about several samples, each with the one about a single sample."""


class Counted(int):
    """A count in a sentence of a rule: `{steps:step}` is `1 step` or `3 steps`."""

    def __format__(self, spec: str) -> str:
        return plural(int(self), spec) if len(spec) > 1 and spec.isalpha() else format(int(self), spec)


@dataclass(frozen=True)
class Measured:
    """What a rule saw, whether or not it fires."""

    rule: Rule
    count: int
    of: int
    facts: Mapping[str, object]

    @property
    def share(self) -> float:
        return self.count / self.of if self.of else 0.0

    @property
    def fires(self) -> bool:
        return self.share > self.rule.threshold and self.count >= min(self.rule.least, self.of)

    def finding(self) -> Finding:
        """The finding in plain words."""
        rule = self.rule
        facts = {name: Counted(fact) if isinstance(fact, int) else fact for name, fact in self.facts.items()}
        agreeing = {word: one if self.count == 1 else word for word, one in NUMBERED.items()}
        text = f"{self.count} of {plural(self.of, 'sample')} {rule.means.format(**agreeing, **facts)}"
        return Finding(rule.code, rule.severity, text, rule.advice, self.share, rule.threshold)


def fired(measured: Iterable[Measured]) -> list[Finding]:
    """The findings of the rules that fire, the gravest first."""
    order = get_args(Severity)[::-1]
    return sorted((m.finding() for m in measured if m.fires), key=lambda f: order.index(f.severity))


def verdict(findings: Iterable[Finding]) -> str:
    """One line on what the diagnostics found; the absence of findings proves nothing and is worded accordingly."""
    codes: dict[str, list[str]] = {severity: [] for severity in get_args(Severity)}
    for finding in findings:
        if finding.code not in codes[finding.severity]:
            codes[finding.severity].append(finding.code)
    parts = []
    if codes["invalid"]:
        parts.append(f"these numbers cannot be relied on: {', '.join(codes['invalid'])}")
    if codes["warning"]:
        parts.append(f"the attacks may be weaker than they look: {', '.join(codes['warning'])}")
    return "; ".join(parts) or NOTHING_FOUND
