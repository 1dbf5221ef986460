"""The benchmark of query attacks runs, and counts at the network what the attacks count themselves."""

from __future__ import annotations

import pytest

from benchmarks import queries


def test_no_attack_asks_more_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "available", lambda package: False)
    rows = queries.rows_of(3, (12,))
    assert [row[0] for row in rows] == list(queries.OURS)
    assert all(0 < int(str(row[3])) <= 12 for row in rows)
