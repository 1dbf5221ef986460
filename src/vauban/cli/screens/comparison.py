"""Screen of a comparison: a row for each accuracy of two runs."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from vauban.cli.screens.layout import console, escape, text_table
from vauban.report.shared import format as fmt

if TYPE_CHECKING:
    from vauban.report.run.comparison import PairedRates


def show_comparison(rows: list[PairedRates]) -> None:
    """Print a table for each network, the accuracies of both runs with the paired difference and its test."""
    for network, group in groupby(rows, key=lambda row: row.network):
        first, *others = group
        console.print(
            f"\n[bold]{escape(network)}[/], {fmt.plural(first.n, 'image')}, {escape(first.threats)}", soft_wrap=True
        )
        table = text_table("accuracy", ">base", ">new", ">difference", ">lost", ">gained", ">p")
        for row in (first, *others):
            low, high = row.difference
            interval = f"{100 * (row.new - row.base):+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"
            counts = str(row.lost), str(row.gained), f"{row.p:.2g}"
            quantity = row.quantity.removesuffix(" accuracy").replace(" accuracy at", "")
            table.add_row(quantity, fmt.percent(row.base), fmt.percent(row.new), interval, *counts)
        console.print(table)
    console.print("\nnew - base in points with its 95 % interval; p of the exact McNemar test on the same images")
