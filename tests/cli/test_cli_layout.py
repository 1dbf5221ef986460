"""Layout of screens: names are shown as they are, and lines end where their text ends."""

from __future__ import annotations

import io

from rich.console import Console

from vauban.cli.screens import layout


def test_a_name_between_colons_is_no_picture() -> None:
    with layout.console.capture() as shown:
        layout.console.print(layout.escape("atk.py:boom: 24/24"), soft_wrap=True)
        layout.console.print(layout.Indented(layout.escape("atk.py:boom: 24/24")))
    assert shown.get() == "atk.py:boom: 24/24\n  atk.py:boom: 24/24\n"


def test_indented_lines_have_no_blanks_at_their_end() -> None:
    written = io.StringIO()
    text = "[bold]one[/] two three four five six seven"
    Console(file=written, width=22).print(layout.Indented(text))
    lines = written.getvalue().splitlines()
    assert lines == ["  one two three four", "  five six seven"]
