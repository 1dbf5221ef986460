"""JUnit XML of the checks of a run, as continuous integration reads it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

from vauban.report.run.gate import Check
from vauban.store import files

_FORBIDDEN = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 has no way to write."""


def junit(checks: Sequence[Check], suite: str = "vauban") -> bytes:
    """A test suite with a test case for each check, one failure element for all of its reasons, notes as its output.

    Args:
        checks: The checks.
        suite: The name of the suite.
    """
    failed = sum(bool(check.failures) for check in checks)
    seconds = f"{sum(check.seconds for check in checks):.3f}"
    counts = {"tests": str(len(checks)), "failures": str(failed), "errors": "0", "skipped": "0", "time": seconds}
    root = ET.Element("testsuites", {"name": _plain(suite), **counts})
    parent = ET.SubElement(root, "testsuite", {"name": _plain(suite), **counts})
    for check in checks:
        facts = {"classname": f"vauban.{check.group}", "name": _plain(check.name), "time": f"{check.seconds:.3f}"}
        case = ET.SubElement(parent, "testcase", facts)
        if check.failures:
            failure = ET.SubElement(case, "failure", {"message": _plain(check.failures[0]), "type": check.group})
            failure.text = _plain("\n".join(check.failures))
        if check.notes:
            ET.SubElement(case, "system-out").text = _plain("\n".join(check.notes))
    ET.indent(root)
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text


def write_junit(path: Path, checks: Sequence[Check], suite: str = "vauban") -> None:
    """Write `junit` into a file, whole or not at all."""
    content = junit(checks, suite)

    def write(temporary: Path) -> None:
        temporary.write_bytes(content)

    files.write_atomic(path, write)


def _plain(text: str) -> str:
    return _FORBIDDEN.sub("", text)
