"""Variants of attacks as their papers print them, for the tables that follow the papers and not the library's defaults."""

from __future__ import annotations

from typing import Any

PRINTED_DDN: dict[str, Any] = {"gamma": 0.05, "gamma_last": 0.05, "state": "quantised"}
"""The radius changes by one share throughout, and the iterate is rounded in every step."""
PRINTED_BP: dict[str, Any] = {"state": "quantised", "search": True}
"""Q_IN and Q_OUT."""
