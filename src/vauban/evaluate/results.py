"""Results of a study: how each cell ended, and what the stored rows say, as a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any, overload

from vauban.core.arguments import named_arguments
from vauban.core.errors import MissingExtra, plain
from vauban.jobs.runner import Outcome
from vauban.report.run import tables
from vauban.report.run.gate import unfinished
from vauban.report.run.judged_cells import planned_run
from vauban.report.run.result_rows import ResultRow, result_rows
from vauban.report.shared import format as fmt
from vauban.store import Run, query

_CELL = ("model", "defence", "threat", "attack")
"""Words of a cell, in the order in which they are read."""


@dataclass(frozen=True, repr=False)
class StudyResults(Sequence[Outcome]):
    """What `Study.run` gives: the outcomes of its cells in order, and their results; it prints as a table with
    what failed and how many findings there are.

    Attributes:
        path: The run directory.
        outcomes: How each cell ended.
    """

    path: Path
    outcomes: tuple[Outcome, ...]

    @overload
    def __getitem__(self, index: int) -> Outcome: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Outcome]: ...
    def __getitem__(self, index: int | slice) -> Outcome | Sequence[Outcome]:
        return self.outcomes[index]

    def __len__(self) -> int:
        return len(self.outcomes)

    @cached_property
    def run(self) -> Run:
        """The stored rows of the cells of the last plan."""
        return planned_run(query.load(self.path, pictures=False))

    def rows(self, population: str = "correct") -> list[ResultRow]:
        """The rows of the results table, see `report.run.result_rows`."""
        return result_rows(self.run, population)

    @property
    def robust_accuracy(self) -> dict[str, float]:
        """Share of all images that stay right under each attack, by `model | defence | threat | attack`: upper bounds."""
        return {
            f"{row.model} | {row.defence} | {row.threat} | {row.attack}": row.robust_accuracy.value
            for row in self.rows("all")
            if row.kind == "cell"
        }

    @named_arguments
    def table(self, form: str = "md", population: str = "correct") -> str:
        """The results table, as `vauban table` prints it.

        Args:
            form: `md`, `csv` or `latex`.
            population: `all`, `correct` or `common`.

        Raises:
            UnknownName: There is no such form or population.
        """
        return tables.render(self.run, form, population)

    @named_arguments
    def to_pandas(self, population: str = "correct", images: bool = False) -> Any:
        """The raw numbers as a pandas data frame: a line per row of the table, or per image of each cell.

        Raises:
            MissingExtra: pandas is not installed.
        """
        try:
            import pandas  # type: ignore[import-not-found, import-untyped, unused-ignore]
        except ImportError:
            raise MissingExtra("pandas", "pandas", "to_pandas") from None
        if not images:
            return pandas.read_csv(io.StringIO(self.table("csv", population)))
        cells = [
            pandas.DataFrame({**{word: cell.meta[word] for word in _CELL}, **cell.columns}) for cell in self.run.cells
        ]
        return pandas.concat(cells, ignore_index=True)

    def __repr__(self) -> str:
        return "\n".join([self.table(), *self.remarks()]) if self.remarks() else self.table()

    def remarks(self) -> list[str]:
        """What the table does not show, a line each: cells that failed, words that were not run, numbers of findings."""
        run = self.run
        told = [
            f"failed: {' | '.join(str(cell.meta[word]) for word in _CELL)}: {reason}"
            for cell in run.cells
            for reason in unfinished(cell)
        ]
        told += [f"not run: {word}: {reason}" for word, reason in run.study.get("missing", {}).items()]
        findings = [*(finding for cell in run.cells for finding in cell.findings), *run.findings]
        for severity, name in (("invalid", "invalid finding"), ("warning", "warning")):
            codes = [str(finding["code"]) for finding in findings if finding["severity"] == severity]
            if codes:
                told.append(
                    f"{fmt.plural(len(codes), name)} ({', '.join(sorted(set(codes)))}): Study.report() explains"
                )
        return [plain(line) for line in told]

    def _repr_html_(self) -> str:
        """The table in a notebook."""
        head, *lines = csv.reader(io.StringIO(self.table("csv")))
        shown = [i for i, name in enumerate(head) if any(line[i] for line in lines)]

        def row(cells: Sequence[str], tag: str) -> str:
            return f"<tr>{''.join(f'<{tag}>{escape(cells[i])}</{tag}>' for i in shown)}</tr>"

        body = "".join(row(line, "td") for line in lines)
        told = "".join(f"<p>{escape(line)}</p>" for line in self.remarks())
        return f"<table><thead>{row(head, 'th')}</thead><tbody>{body}</tbody></table>{told}"
