"""Bundle of a run: its files, the weights and sources it was made of, and its data where wanted, in one archive."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from torch import nn

from vauban import __version__
from vauban.core.errors import ContractError
from vauban.core.secret import BYTES, HEAD
from vauban.data import Dataset
from vauban.evaluate.inspection.archive import unpack, write_archive
from vauban.evaluate.inspection.checked import Inspection
from vauban.evaluate.inspection.digests import run_files
from vauban.evaluate.inspection.inspect_run import Originals, inspect_run
from vauban.evaluate.inspection.packed_data import packed, unpacked
from vauban.evaluate.inspection.recorded import facts_of
from vauban.evaluate.inspection.remade import Remade, Unmade, network_address, remade
from vauban.evaluate.inspection.run_folder import ended_run
from vauban.store import Run, sources
from vauban.store.files import digest_of

RUN, FILES, NETWORKS, DATA = "run", "files", "networks", "data.safetensors"
_KEY = re.compile(re.escape(HEAD.encode()) + b"[0-9a-f]{%d}" % (2 * BYTES))
_LARGEST_TEXT = 2**24


def bundle(path: Path, out: Path | None = None, with_data: bool = False, root: str | Path | None = None) -> Path:
    """Pack a finished run for an inspection elsewhere; the same run gives the same bytes.

    Args:
        path: The run directory.
        out: The file; None: `PATH.bundle.tar`.
        with_data: Whether the samples are packed; else their fingerprint alone is there.
        root: Folder of the data sets in place of the study's.

    Returns:
        The file.

    Raises:
        ContractError: It is no finished run, a file that it was made of is not the one that it was, a network or the data
            cannot be made again, or a file holds a key.
    """
    run = ended_run(path.absolute())
    members: dict[str, Path | bytes] = {f"{RUN}/{f.relative_to(run.path).as_posix()}": f for f in run_files(run.path)}
    members |= {f"{FILES}{file.as_posix()}": file for file in _made_of(run)}
    made = remade(run.study, {text: facts["path"] for text, facts in _named(run).items()}, {}, root=root)
    states = dict(_states(run, made))
    members |= {f"{NETWORKS}/{number}.safetensors": content for number, content in enumerate(states.values())}
    if with_data:
        members[DATA] = packed(_samples(run, made))
    for name, content in members.items():
        _check_no_key(name, content)
    networks = {model: f"{NETWORKS}/{number}.safetensors" for number, model in enumerate(states)}
    target = out or path.absolute().parent / f"{path.absolute().name}.bundle.tar"
    write_archive(target, members, {"vauban": __version__, "networks": networks, "run": path.absolute().name})
    return target


@contextmanager
def opened_bundle(path: Path) -> Iterator[tuple[Path, Originals]]:
    """The run directory in a bundle, unpacked while open, with the files that it was made of."""
    with tempfile.TemporaryDirectory() as temporary:
        archive = unpack(path, Path(temporary))
        data = archive.folder / DATA
        states = {model: archive.folder / name for model, name in archive.manifest.get("networks", {}).items()}
        originals = Originals(archive.folder / FILES, states, unpacked(data) if data.is_file() else None)
        yield archive.folder / RUN, originals


def inspect(path: Path, root: str | Path | None = None, ask_services: bool = False) -> Inspection:
    """Inspect a run directory or a bundle.

    Args:
        path: The directory, or the file of a bundle.
        root: Folder of the data sets in place of the study's.
        ask_services: Whether services are asked again, which may cost.

    Raises:
        ContractError: It is no finished run of an evaluation, or no whole bundle.
    """
    if not path.is_file():
        return inspect_run(path, Originals(root=root, ask_services=ask_services))
    with opened_bundle(path) as (folder, originals):
        return inspect_run(folder, replace(originals, root=root, ask_services=ask_services), str(path))


def _named(run: Run) -> dict[str, dict[str, str]]:
    named: dict[str, dict[str, str]] = run.study.get("files") or {}
    return named


def _made_of(run: Run) -> list[Path]:
    """The files of the user that a run was made of, each the one that it was."""
    files = set()
    for text, named in _named(run).items():
        path = Path(named["path"])
        if not path.is_file() or digest_of(path) != named["sha256"]:
            raise ContractError(
                f"{run.path}: expected {text} as it was in the run, got {_what(path)}; vauban audit says more"
            )
        files.add(path)
    for facts in facts_of(run):
        for name, digest in facts.get("sources", {}).items():
            path = Path(name)
            if not path.is_absolute() or not sources.comparable(name, path):
                continue
            if not path.is_file() or sources.digest(path) != digest:
                raise ContractError(
                    f"{run.path}: expected {path.name} as it made the rows, got {_what(path)}; vauban audit says more"
                )
            files.add(path)
    return sorted(files)


def _what(path: Path) -> str:
    return f"another {path}" if path.is_file() else f"no {path}"


def _states(run: Run, made: Remade) -> Iterator[tuple[str, bytes]]:
    """Tensors of the models that no packed file has, as safetensors; each the one of the rows."""
    from safetensors.torch import save

    for cell in run.cells:
        network = made.network(cell.meta)
        if isinstance(network, nn.Module) and network_address(network) != cell.meta.get("network"):
            raise ContractError(
                f"{run.path}: expected {cell.meta['model']} as it is in the rows, got a network that has changed; vauban "
                "audit says more"
            )
    texts = _named(run)
    for name, model in sorted(made.models.items()):
        if not any(Path(text).name in name for text in texts):
            tensors = {
                key: value.detach().cpu().contiguous().clone() for key, value in model.value.state_dict().items()
            }
            yield name, save(tensors)


def _samples(run: Run, made: Remade) -> Dataset:
    if isinstance(made.data, Unmade):
        raise ContractError(f"{run.path}: expected the data at hand for --with-data, got: {made.data.reason}")
    if not made.own and any(cell.meta["data_fingerprint"] != made.data.fingerprint for cell in run.cells):
        raise ContractError(f"{run.path}: expected the data of the rows for --with-data, got others of that name")
    return made.data


def _check_no_key(name: str, content: Path | bytes) -> None:
    """Raises ContractError where a member holds a key."""
    if isinstance(content, Path):
        content = content.read_bytes() if content.stat().st_size <= _LARGEST_TEXT else b""
    if _KEY.search(content):
        raise ContractError(
            f"expected no key in a bundle, got one in {name}; keep it in a file of its own, and name that file or env:NAME"
        )
