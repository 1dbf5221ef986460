"""Layout of every screen: one console, tables, plurals, durations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich import box, markup
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from vauban.core.errors import plain

console = Console(emoji=False)  # a name such as atk.py:boom: is no picture


def escape(text: str) -> str:
    """A text of unknown origin in markup: brackets mean nothing, and no control character reaches the terminal."""
    return markup.escape(plain(text))


@contextmanager
def hidden(silent: bool) -> Iterator[None]:
    """Nothing is shown on the console while open, where `silent`."""
    console.quiet = silent
    try:
        yield
    finally:
        console.quiet = False


def text_table(*columns: str) -> Table:
    """An empty table of text columns; `>` in front of a name aligns it right."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in columns:
        table.add_column(name.lstrip(">"), justify="right" if name.startswith(">") else "left", overflow="fold")
    return table


class Indented:
    """Markup two columns in from the left, without blanks at the end of its lines."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in console.render_str(self.text).wrap(console, max(1, options.max_width - 2)):
            line.rstrip()
            yield Text("  ").append_text(line)


def cell_heading(model: str, defence: str, threat: str) -> str:
    """Heading of the cells of one model, defence and threat, in markup."""
    behind = "undefended" if defence == "none" else f"behind {escape(defence)}"
    return f"[bold]{escape(model)}[/], {behind}, {escape(threat)}"


def duration(seconds: float) -> str:
    """A duration given in seconds, in milliseconds, seconds or minutes."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.1f} min"
