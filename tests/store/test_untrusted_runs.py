"""A run folder of somebody else: stray files, links, paths, control characters, oversized pictures and archives."""

from __future__ import annotations

import gzip
import io
import json
import logging
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from vauban.core.errors import ContractError, plain
from vauban.data.encoded import Framing
from vauban.data.mnist import read_idx
from vauban.evaluate.adversarial_files import read_images
from vauban.evaluate.magnified import magnified, read_picture
from vauban.evaluate.study import Study
from vauban.models import weights
from vauban.report.run import page, tables
from vauban.report.run.example_images import amplified_perturbation
from vauban.report.shared.format import markdown_text
from vauban.store import files, part, query, sources, stored_part
from vauban.store.parquet import Store
from vauban.store.part_folder import PartFolder
from vauban.store.pictures import PIXELS, check_archive, opened


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run."""
    out = tmp_path_factory.mktemp("finished") / "run"
    Study(out, data="digits/test[:6]", models="digits-cnn", attacks="fgsm:eps=0.2", save_images=True).run()
    return out


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def cell_of(run: Path) -> Path:
    (cell,) = (run / "cells").iterdir()
    return cell


def changed_meta(run: Path, **facts: Any) -> None:
    path = cell_of(run) / "cell.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **facts}))


def test_stray_files_are_named_and_ignored(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = query.load(run)
    file = next((cell_of(run) / "parts").glob("*.parquet"))
    stray = [
        file.with_name("00000 (1).parquet"),
        file.with_name("0000a.parquet"),
        file.with_name("notes.txt"),
        run / "cells" / "README.txt",
        run / "cells" / "not a cell" / "cell.json",
    ]
    for path in stray:
        path.parent.mkdir(exist_ok=True)
        shutil.copy(file, path)
    (file.with_name(".DS_Store")).write_text("hidden")
    with caplog.at_level(logging.WARNING, "vauban"):
        after = query.load(run)
    assert len(after.cells) == 1
    assert after.cells[0].columns["id"].tolist() == before.cells[0].columns["id"].tolist()
    assert after.cells[0].damaged == ()
    for name in ("00000 (1).parquet", "0000a.parquet", "notes.txt", "README.txt", "not a cell"):
        assert [line for line in caplog.messages if name in line and line.endswith("ignored")], name
    assert ".DS_Store" not in caplog.text


def test_no_named_path_is_opened_but_small_sources(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret, huge = tmp_path / "secret", tmp_path / "huge.py"
    secret.write_text("secret")
    huge.write_text("x = 1")
    monkeypatch.setattr(sources, "LARGEST", 3)
    names = [
        str(secret),
        "vauban/../../../../etc/passwd",
        "/dev/zero",
        "/etc/passwd",
        str(huge),
        "vauban/../../setup.py",
    ]
    changed_meta(run, sources=dict.fromkeys(names, "0" * 64))
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"opened {path}"))
    assert query.load(run).cells[0].changed == ()


def test_a_link_in_the_place_of_a_view_does_not_get_into_the_page(run: Path, tmp_path: Path) -> None:
    views = sorted((run / "magnified").glob("*.png"))
    assert views
    (tmp_path / "key").write_text("PRIVATE KEY")
    for view in views:
        view.unlink()
        view.symlink_to(tmp_path / "key")
    text = page.write(run).read_text()
    assert "UFJJVkFURSBLRVk" not in text  # PRIVATE KEY in base64


@pytest.mark.slow
@pytest.mark.parametrize("place", ["cells", "cell", "parts", "images", "failures.jsonl", "lock", "0.png"])
def test_nothing_is_written_through_a_link(place: str, run: Path, tmp_path: Path) -> None:
    cell, elsewhere = cell_of(run), tmp_path / "elsewhere"
    images = run / "images" / cell.name
    at = {"cells": run / "cells", "cell": cell, "parts": cell / "parts", "images": images, "0.png": images / "0.png"}
    link = at.get(place, cell / place)
    whole = link.is_dir()
    file = next((cell / "parts").glob("*.parquet"))
    content = {path.relative_to(run): path.read_bytes() for path in run.rglob("*") if path.is_file()}
    file.unlink()  # there is something to do
    if whole:
        shutil.move(link, elsewhere)
    else:
        elsewhere.write_text("mine")
        link.unlink(missing_ok=True)
    link.symlink_to(elsewhere)
    study = Study(run, data="digits/test[:6]", models="digits-cnn", attacks="fgsm:eps=0.2", save_images=True)
    if place == "failures.jsonl":
        with pytest.raises(ContractError, match="symbolic link"):
            Store(run).cell(cell.name).fail(0, "reason")
        assert elsewhere.read_text() == "mine"
        return
    with pytest.raises(ContractError, match="symbolic link"):
        study.run()
    if whole:
        assert not list(elsewhere.rglob("*.parquet")) or place == "images"
    else:
        assert elsewhere.read_text() == "mine"
    assert content


def test_folders_of_tables_follow_no_link(tmp_path: Path) -> None:
    import pyarrow as pa

    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "crafted").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ContractError, match="symbolic link"):
        PartFolder(tmp_path / "crafted" / "0", pa.schema({"id": pa.int64()})).prepare({})
    assert not list((tmp_path / "elsewhere").iterdir())
    (tmp_path / "file").symlink_to(tmp_path / "target")
    with pytest.raises(ContractError, match="symbolic link"):
        files.write_in_place(tmp_path / "file", b"x")
    assert not (tmp_path / "target").exists()


ESCAPES = "a\x1b[31mb\x07c\u202ed\r\x9b2J"


def test_control_characters_are_written_out() -> None:
    assert plain(ESCAPES) == r"a\x1b[31mb\x07c\u202ed\r\x9b2J"
    assert plain("two\nlines\tand é, 猫, ∞") == "two\nlines\tand é, 猫, ∞"


def test_no_screen_obeys_a_name(run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from vauban.cli import results

    changed_meta(run, model=ESCAPES, defence=ESCAPES, threat=ESCAPES, attack=ESCAPES)
    changed_meta(run, findings=[])
    study = json.loads((run / "study.json").read_text())
    (run / "study.json").write_text(json.dumps({**study, "missing": {ESCAPES: ESCAPES}}))
    said = dict.fromkeys(("code", "message", "advice"), ESCAPES)
    finding = {**said, "severity": "warning", "share": 1.0, "threshold": 0.0}
    (cell_of(run) / "findings.json").write_text(json.dumps([finding]))
    results.status(run)
    for form in ("md", "csv", "latex"):
        results.table(run, form)
    shown = capsys.readouterr().out
    assert "x1b" in shown
    assert not [sign for sign in shown if sign in "\x1b\x07\x9b\r\u202e"]


MARKUP = "<script>alert(1)</script> | [x](javascript:1) `code` *b* <img src=x onerror=y>"


def test_markup_in_names_is_text(run: Path) -> None:
    changed_meta(run, model=MARKUP)
    html, markdown = page.write(run).read_text(), tables.render(query.load(run), "md")
    assert "<script>alert" not in html
    assert "<img src=x" not in html
    assert "<" not in markdown
    assert r"\| [x\](javascript:1) \`code\` \*b\*" in markdown
    assert len({line.replace(r"\|", "").count("|") for line in markdown.splitlines()}) == 1
    assert markdown_text("a\nb\x1b") == r"a b\\x1b"


def oversized() -> bytes:
    """A picture of a few kilobytes with too many pixels."""
    side = int(PIXELS**0.5) + 1
    stream = io.BytesIO()
    Image.new("1", (side, side)).save(stream, "PNG")
    assert len(stream.getvalue()) < 40_000
    return stream.getvalue()


def test_a_picture_beyond_the_limit_is_never_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = oversized()
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    (tmp_path / "0.png").write_bytes(data)
    (tmp_path / "1.png").write_bytes(data)
    calls: list[Callable[[], object]] = [
        lambda: opened(data, "it"),
        lambda: Framing(size=8).decode(data, "it"),
        lambda: read_picture(tmp_path / "0.png"),
        lambda: magnified([tmp_path / "0.png"]),
        lambda: amplified_perturbation(data, data),
        lambda: read_images(tmp_path, _digits(2)),
    ]
    for call in calls:
        with pytest.raises(ContractError, match=r"at most 67,108,864 pixels.*8193x8193"):
            call()


def _digits(n: int) -> Any:
    from vauban.data import load

    return load(f"digits/test[:{n}]")


@pytest.mark.slow
def test_an_archive_beyond_its_size_is_never_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.npz", "a.pt"):
        with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a.npy", "w") as file:
            for _ in range(300):
                file.write(bytes(2**20))
    monkeypatch.setattr(np, "load", lambda *_, **__: pytest.fail("unpacked"))
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("unpacked"))
    for call in (lambda: read_images(tmp_path / "a.npz", _digits(2)), lambda: weights.read(tmp_path / "a.pt")):
        with pytest.raises(ContractError, match=r"unpacks to 314,572,\d+"):
            call()


def test_archives_that_are_what_they_seem(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "zeros.npz", np.zeros((2, 1, 8, 8), dtype=np.float32))
    check_archive(tmp_path / "zeros.npz")
    assert read_images(tmp_path / "zeros.npz", _digits(2)).shape == (2, 1, 8, 8)
    (tmp_path / "no.zip").write_bytes(b"PK")
    check_archive(tmp_path / "no.zip")


def test_a_gzipped_table_is_read_as_far_as_its_header_says(tmp_path: Path) -> None:
    head = struct.pack(">HBB", 0, 8, 3) + struct.pack(">3I", 2, 2, 2)
    with gzip.open(tmp_path / "good.gz", "wb") as file:
        file.write(head + bytes(range(8)))
    assert read_idx(tmp_path / "good.gz").flatten().tolist() == list(range(8))
    with gzip.open(tmp_path / "long.gz", "wb") as file:
        file.write(head + bytes(2**24))
    with pytest.raises(ContractError, match="25 bytes for shape"):
        read_idx(tmp_path / "long.gz")
    with gzip.open(tmp_path / "huge.gz", "wb") as file:
        file.write(struct.pack(">HBB", 0, 8, 3) + struct.pack(">3I", 2**16, 2**16, 4))
    with pytest.raises(ContractError, match="got a header for 17,179,869,184"):
        read_idx(tmp_path / "huge.gz")


@pytest.mark.parametrize("place", ["cells", "parts", "part", "cell.json", "findings.json"])
def test_nothing_is_read_through_a_link(
    place: str, run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cell = cell_of(run)
    file = next((cell / "parts").glob("*.parquet"))
    at = {"cells": run / "cells", "parts": cell / "parts", "part": file}.get(place, cell / place)
    shutil.move(at, tmp_path / "elsewhere")
    at.symlink_to(tmp_path / "elsewhere")
    with caplog.at_level(logging.WARNING, "vauban"):
        cells = query.load(run).cells
    assert sum(len(one.columns["id"]) for one in cells) == 0
    assert [line for line in caplog.messages if "symbolic link" in line]


@pytest.mark.parametrize(
    "content",
    [
        '{"schema": 1',
        "[]",
        "3",
        json.dumps({"schema": 1, "hash": "other"}),
        None,
        {"n": "six"},
        {"sources": []},
        {"model": ["m"]},
        {"metrics": 5},
    ],
)
def test_a_cell_with_damaged_facts_is_left_out(content: Any, run: Path, caplog: pytest.LogCaptureFixture) -> None:
    cell = cell_of(run)
    whole = run / "cells" / "whole"
    shutil.copytree(cell, whole)
    facts = json.loads((cell / "cell.json").read_text())
    (whole / "cell.json").write_text(json.dumps({**facts, "hash": "whole"}))
    if isinstance(content, dict):
        (cell / "cell.json").write_text(json.dumps({**facts, **content}))
    else:
        (cell / "cell.json").write_bytes(b"\xff\x00" if content is None else content.encode())
    with caplog.at_level(logging.WARNING, "vauban"):
        read = query.load(run)
    assert [one.meta["hash"] for one in read.cells] == ["whole"]
    assert [line for line in caplog.messages if f"{cell.name} is left out: " in line]


def test_a_part_that_announces_too_much_is_not_unpacked(
    run: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(part, "MOST_ROWS", 5)
    monkeypatch.setattr(pq.ParquetFile, "read", lambda *_, **__: pytest.fail("unpacked"))
    with caplog.at_level(logging.WARNING, "vauban"):
        (cell,) = query.load(run).cells
    assert "got 6 rows of" in caplog.text
    assert not cell.complete
    monkeypatch.setattr(part, "MOST_ROWS", 6)
    monkeypatch.setattr(part, "MOST_BYTES", 100)
    assert len(query.load(run).cells[0].damaged) == 1


def test_odd_lines_and_huge_files_are_no_failures(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = cell_of(run) / "failures.jsonl"
    failures.write_text('3\n{"index": "x", "error": "a"}\n{"error": "b"}\n{"index": 7, "error": "c"}\n')
    assert [line["error"] for line in query.load(run).cells[0].failures] == ["c"]
    monkeypatch.setattr(files, "LARGEST_JSON", 10)
    with pytest.raises(ContractError, match="expected at most 10 bytes"):
        query.load(run)


def test_status_reads_the_ids_alone(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vauban.cli import results

    read: list[str] = []

    def reading(path: Path, wanted: Callable[[str], bool] | None = None, group: int | None = None) -> Any:
        rows = part.read_part(path, wanted, group)
        read.extend(rows.schema.names)
        return rows

    monkeypatch.setattr(stored_part, "read_part", reading)
    results.status(run)
    assert read == ["id"]
