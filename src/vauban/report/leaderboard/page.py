"""Leaderboard as a table of text and as a page."""

from __future__ import annotations

from pathlib import Path

from vauban.report.leaderboard.ranking import Leaderboard, RankedNetwork, Ranking
from vauban.report.run.headlines import CAVEAT
from vauban.report.shared import format as fmt
from vauban.report.shared.assets import asset, template
from vauban.report.shared.text_tables import markdown
from vauban.store.files import write_bytes

HEADS = (
    "Rank",
    "Model",
    "Defence",
    "Robust accuracy",
    "Clean accuracy",
    "Tied with",
    "Queries",
    "Gradients",
    "Run",
    "Notes",
)
TIES = (
    "Rank: one more than the networks that are better beyond chance, by the 95 % interval of the difference on the same "
    "images. Tied with: the places of those that the images do not tell apart. A number with an invalid finding has no "
    "rank."
)


def text(board: Leaderboard) -> str:
    """A Markdown table for each budget."""
    shared = (
        f"{board.data}, {fmt.plural(board.images, 'image')}, {board.goal}, by {fmt.enumeration(list(board.attacks))}"
    )
    tables = [
        f"{ranking.budget}\n\n{markdown(HEADS, [_fields(line) for line in ranking.lines])}"
        for ranking in board.rankings
    ]
    return "\n".join([shared, "", *tables, TIES])


def write(board: Leaderboard, path: Path) -> Path:
    """Write the page, atomically; returns its path."""
    page = template("leaderboard/template.html").render(
        title="Leaderboard",
        board=board,
        style=asset("shared/style.css") + asset("leaderboard/style.css"),
        ties=TIES,
        caveat=CAVEAT,
        rank=rank,
        tied=tied,
        fmt=fmt,
    )
    write_bytes(path, page.encode())
    return path


def rank(ranking: Ranking, line: RankedNetwork) -> str:
    """The rank as text, with a sign of equality where another network has it too."""
    if line.rank is None:
        return fmt.DASH
    shared = sum(other.rank == line.rank for other in ranking.lines) > 1
    return f"{line.rank}{'=' if shared else ''}"


def tied(line: RankedNetwork) -> str:
    """The places of the networks that are not told from it: `2–4, 6`."""
    spans: list[list[int]] = []
    for place in line.tied:
        if spans and place == spans[-1][1] + 1:
            spans[-1][1] = place
        else:
            spans.append([place, place])
    return ", ".join(f"{low}" if low == high else f"{low}–{high}" for low, high in spans)


def notes(line: RankedNetwork) -> str:
    """Findings and remarks on a line."""
    invalid = [f"invalid: {', '.join(line.contender.invalid)}"] if line.contender.invalid else []
    return "; ".join([*invalid, *line.contender.notes])


def _fields(line: RankedNetwork) -> list[str]:
    return [
        fmt.DASH if line.rank is None else str(line.rank),
        line.contender.model,
        line.contender.defence,
        fmt.rate(line.robust),
        fmt.percent(line.clean.value),
        tied(line),
        fmt.count(line.queries),
        fmt.count(line.gradients),
        line.contender.folder,
        notes(line),
    ]
