"""Files of a run against the digests that were noted when they were written."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from vauban.core.errors import ContractError
from vauban.evaluate.inspection.checked import Checked
from vauban.store.certificates import CERTIFICATES
from vauban.store.compacted import NAME as ROWS
from vauban.store.compacted import open_compacted
from vauban.store.files import digest_of
from vauban.store.ledger import LEDGER, noted_digests
from vauban.store.measurements import MEASUREMENTS
from vauban.store.part import part_file

NOT_RECORDED = "not recorded by the vauban that made it"


def run_files(run: Path) -> list[Path]:
    """The files of a run that say something: plan, facts, findings, rows and ledgers; not pages, pictures and locks."""
    return sorted(path for folder, facts in _folders(run) for path in [*_present(folder, facts), *_ledgers(folder)])


def seal_of(run: Path) -> str:
    """SHA-256 over the names and the digests of the files of a run as they are now, ledgers aside."""
    lines = [
        f"{digest_of(path)}  {path.relative_to(run).as_posix()}\n"
        for path in run_files(run)
        if path.suffix != ".jsonl" and path.is_file() and not path.is_symlink()
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def digest_checks(run: Path) -> Iterator[Checked]:
    """A check of each file of a run, and of each file that was written and is not there."""
    folders = _folders(run)
    recorded = [folder for folder, facts in folders if facts in noted_digests(folder)]
    for folder, facts in folders:
        if recorded and folder not in recorded and (folder / facts).exists():
            about = (folder / LEDGER).relative_to(run).as_posix()
            lacks = "does not name the facts beside it" if (folder / LEDGER).exists() else "is not there"
            yield Checked("rows", about, "differs", f"{lacks}, and other folders of the run have theirs")
        yield from _folder_checks(run, folder, facts)


def _folder_checks(run: Path, folder: Path, facts: str) -> Iterator[Checked]:
    noted, present = noted_digests(folder), _present(folder, facts)
    for path in present:
        about, own = path.relative_to(run).as_posix(), noted.get(path.relative_to(folder).as_posix())
        if path.is_symlink():
            yield Checked("rows", about, "differs", "a symbolic link stands in its place")
        elif path.is_dir():
            yield Checked("rows", about, "differs", "a folder stands in its place")
        elif own is None and facts not in noted:  # the folder was made before digests were noted
            yield Checked("rows", about, "unchecked", NOT_RECORDED)
        elif own is None:
            yield Checked("rows", about, "differs", "no run has written it: its digest is not in the ledger")
        elif (digest := digest_of(path)) not in own:
            yield Checked(
                "rows", about, "differs", f"changed since it was written: sha256 {digest[:16]}… was never noted"
            )
        else:
            yield Checked("rows", about, "agrees")
    names = {path.relative_to(folder).as_posix() for path in present} | _taken_in(folder)
    for name in sorted(set(noted) - names):
        yield Checked("rows", (folder / name).relative_to(run).as_posix(), "differs", "was written and is not there")


def _folders(run: Path) -> list[tuple[Path, str]]:
    """The folders of a run that have a ledger, each with the file of its facts."""
    kinds = [("cells", "cell.json"), *((kind.folder, kind.facts) for kind in (CERTIFICATES, MEASUREMENTS))]
    below = [
        (path, facts)
        for name, facts in kinds
        for path in sorted((run / name).glob("*"))
        if path.is_dir() and not path.name.startswith(".")
    ]
    return [(run, "study.json"), *below]


def _present(folder: Path, facts: str) -> list[Path]:
    names = [facts, "identity.json", "findings.json", "planted.json", "drift.json", ROWS]
    named = [folder / name for name in names if (folder / name).exists() or (folder / name).is_symlink()]
    return [*named, *sorted(folder.glob("[0-9]*.parquet")), *sorted(folder.glob("parts/[0-9]*.parquet"))]


def _taken_in(folder: Path) -> set[str]:
    """The part files whose rows the compacted file of a folder holds, by name; none where it is damaged, which is told."""
    try:
        compacted = open_compacted(folder / ROWS)
    except ContractError:
        return set()
    batches = () if compacted is None else compacted.batches
    return {part_file(Path("parts"), index).as_posix() for index in batches}


def _ledgers(folder: Path) -> list[Path]:
    return [path for path in (folder / LEDGER, folder / "failures.jsonl") if path.is_file()]
