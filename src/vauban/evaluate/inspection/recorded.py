"""Records of how a run was made, against what is here now: source files, weights files, versions."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from vauban.evaluate.inspection.checked import Checked
from vauban.evaluate.inspection.digests import NOT_RECORDED
from vauban.jobs.environment import environment, package_version
from vauban.store import Run, sources
from vauban.store.files import digest_of

Place = Callable[[str], Path]
"""From the absolute path that a run recorded to where the file is now."""


def facts_of(run: Run) -> list[Mapping[str, Any]]:
    """The facts of every cell, certificate and measurement of a run."""
    return [*(cell.meta for cell in run.cells), *(rows.meta for rows in (*run.certificates, *run.measurements))]


def source_checks(run: Run, place: Place) -> Iterator[Checked]:
    """A check of each source file behind the rows."""
    told: set[tuple[str, str]] = set()
    for facts in facts_of(run):
        if earlier := sources.earlier_version(facts):
            yield Checked("sources", facts["hash"], "unchecked", f"made by vauban {earlier}, whose files have moved")
            continue
        for name, digest in sorted(facts.get("sources", {}).items()):
            if (name, digest) not in told:
                told.add((name, digest))
                yield _source(name, digest, place, _python(facts))


def _source(name: str, digest: str, place: Place, python: str) -> Checked:
    path = place(name)
    if not sources.comparable(name, path):
        return Checked("sources", name, "unchecked", "no source file that is opened to be compared")
    if not path.is_file():
        return Checked("sources", name, "unchecked", "not there any more")
    if sources.digest(path) == digest:
        return Checked("sources", name, "agrees")
    here = platform.python_version()
    if path.suffix == ".py" and python.split(".")[:2] != here.split(".")[:2]:
        reason = f"its digest is of a syntax tree, which Python {python} and {here} write differently"
        return Checked("sources", name, "unchecked", reason)
    return Checked("sources", name, "differs", "does something else now than when it made the rows")


def _python(facts: Mapping[str, Any]) -> str:
    return str((facts.get("environment") or facts.get("versions") or {}).get("python", ""))


def file_checks(run: Run, place: Place) -> Iterator[Checked]:
    """A check of each file that the words of the study name."""
    if "files" not in run.study:
        if "words" not in run.study and run.cells:
            yield Checked("weights", "files that the words name", "unchecked", NOT_RECORDED)
        return
    for text, facts in run.study["files"].items():
        path = place(facts["path"])
        subject = "sources" if path.suffix == ".py" else "weights"
        if not path.is_file():
            yield Checked(subject, text, "unchecked", f"{path} is not there any more")
        elif digest_of(path) == facts["sha256"]:
            yield Checked(subject, text, "agrees")
        else:
            yield Checked(subject, text, "differs", f"{path} has other bytes now than when the study ran")


def environment_checks(run: Run) -> Iterator[Checked]:
    """A check of each version, and of the kind of machine, under which the rows were made."""
    told: set[tuple[str, str]] = set()
    for facts in facts_of(run):
        recorded = facts.get("environment")
        if recorded is None:
            yield Checked("environment", "all but a few versions", "unchecked", NOT_RECORDED)
            recorded = {"packages": dict(facts.get("versions") or {})}
            recorded["python"] = recorded["packages"].pop("python", platform.python_version())
        for name, then in _flat(recorded).items():
            if (name, then) not in told:
                told.add((name, then))
                yield _version_check(name, then)


def _version_check(name: str, then: str) -> Checked:
    here = environment()
    now = here[name] if name in ("python", "platform") else package_version(name)
    if now == then:
        return Checked("environment", name, "agrees")
    return Checked("environment", name, "differs", f"the rows were made with {then}, here is {now or 'none'}")


def _flat(recorded: Mapping[str, Any]) -> dict[str, str]:
    single = {name: str(value) for name, value in recorded.items() if name != "packages"}
    return single | {name: str(value) for name, value in recorded.get("packages", {}).items()}
