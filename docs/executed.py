"""How the documentation is executed; `python docs/executed.py [page ...]` writes what is printed now into the pages.

A block `python title="file.py"` is a file of the reader's; a `text` block is what the Python block before it prints; in a
`console` block, lines after `$` are commands. `...` stands for anything. `tests/test_docs.py` compares: words must agree,
numbers may differ.
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LEFT_OUT = ("performance.md", "experiments")  # figures of one machine, with the commands that made them
PAGES = [
    ROOT / "README.md",
    *sorted(p for p in (ROOT / "docs").rglob("*.md") if not set(LEFT_OUT) & set(p.relative_to(ROOT).parts)),
]
BLOCK = re.compile(r'(?P<language>python|console|text)(?: title="(?P<file>[^"]+)")?$\n', re.MULTILINE)
WIDTH = 96


def shell(command: str) -> tuple[str, int]:
    """What a `vauban` command prints, and its exit code, without the start of a process."""
    from vauban.cli import main
    from vauban.cli import screens as terminal

    words = shlex.split(command.replace("\\\n", " "))
    assert words[0] == "vauban", f"only vauban is typed again, got {command!r}"
    out, code, argv, width = io.StringIO(), 0, sys.argv, terminal.console.width
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        sys.argv, terminal.console.width = words, WIDTH
        try:
            main()
        except SystemExit as leave:
            code = int(leave.code or 0)
        finally:
            sys.argv, terminal.console.width = argv, width
    return out.getvalue(), code


def plain(text: str) -> str:
    """Words and signs: numbers, what hangs on them, rules, white space and the length of a bar do not count."""
    text = re.sub(r"[─━╸╺╾╼]+", "─", text)
    text = re.sub(r"Every image was|The remaining images were not", "Images", re.sub(r"\s+", " ", text))
    text = re.sub(r":[^\s|]*\s+(?=─)", " ", text)  # parameters before a bar: cut where the terminal ends
    text = re.sub(r"(?<![.\d])\b(?=[0-9a-f]*\d)([0-9a-f]{16}|[0-9a-f]{8})\b", "#", text)
    text = re.sub(r"(?<![A-Za-z_\d])[-+]?(\d[\d.,:]*|inf\b|nan\b|∞)(e[-+]?\d+)?", "#", text)
    text = re.sub(r"# (ms|s|min)\b", "# s", text.replace("#/#", "#").replace("– at", "# at"))
    text = text.replace(" (# already misclassified)", "")
    text = re.sub(r"no median (\w+) since at most half were fooled", r"median \1 #", text)
    return text.strip()


def agrees(shown: str, printed: str) -> bool:
    """Whether the words are the same, `...` aside."""
    pattern = ".*".join(re.escape(plain(part)) for part in shown.split("..."))
    return re.fullmatch(pattern, plain(printed)) is not None


def commands(source: str) -> Iterator[tuple[str, str]]:
    """Each command of a transcript, as typed, with the output shown."""
    for part in re.split(r"^\$ ", source, flags=re.MULTILINE)[1:]:
        typed = re.match(r"(?:[^\n]*\\\n)*[^\n]*", part)
        assert typed is not None
        yield typed[0], part[typed.end() :].removeprefix("\n")


class Session:
    """The blocks of one page, executed in order in the current folder; `shown` is what each block should read."""

    def __init__(self, namespace: dict[str, Any] | None = None) -> None:
        self.namespace, self.printed, self.code = {} if namespace is None else namespace, "", 0

    def shown(self, language: str, file: str | None, source: str) -> Iterator[tuple[str, str]]:
        """Pairs of what a block shows and what is printed."""
        if file is not None:
            Path(file).write_text(source)
        elif language == "python":
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(compile(source, "<documentation>", "exec"), self.namespace)
            self.printed = out.getvalue()
        elif language == "text":
            yield source, self.printed
        else:
            for typed, output in commands(source):
                if typed == "echo $?":
                    yield output, f"{self.code}\n"
                    continue
                printed, self.code = shell(typed)
                yield output, printed


def rewritten(text: str) -> str:
    """A page with what its blocks print now; output with `...` that still agrees is left as it is."""
    session, folder = Session(), str(Path.cwd())

    def block(found: re.Match[str]) -> str:
        language, file, source = found[2], found[3], found[4]
        now = [
            shown if "..." in shown and agrees(shown, printed) else printed.strip("\n").replace(folder, "...")
            for shown, printed in session.shown(language, file, source)
        ]
        now = ["".join(line.rstrip() + "\n" for line in part.strip("\n").splitlines()) for part in now]
        if language == "text":
            source = now[0]
        elif language == "console":
            pairs = zip(commands(source), now, strict=True)
            source = "".join(f"$ {typed}\n{part}" for (typed, _), part in pairs)
        return f"{found[1]}{source}```"

    return re.sub(r'^(```(python|console|text)(?: title="([^"]+)")?\n)(.*?)^```$', block, text, flags=re.M | re.S)


if __name__ == "__main__":
    for page in [Path(p).resolve() for p in sys.argv[1:]] or PAGES:
        with tempfile.TemporaryDirectory() as scratch, contextlib.chdir(Path(scratch).resolve()):
            sys.path.insert(0, scratch)
            page.write_text(rewritten(page.read_text()))
            sys.path.remove(scratch)
