"""Atomic parts, failures, locks, damage: what a kill at any moment may leave behind."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from vauban.core.errors import ContractError
from vauban.store import Store, load
from vauban.store.sources import changed, described


def test_round_trip_is_bit_exact(tmp_path, meta, make_batch):
    cell = Store(tmp_path).cell("abc")
    cell.create(meta)
    batches = [make_batch(range(4 * i, 4 * i + 4), seed=i) for i in range(3)]
    for index in (2, 0, 1):  # written in any order, read in the order of the batches
        cell.append(index, batches[index] | {"target": [None, 1, 2, 3], "adv_png": [b"\x89", None, None, None]}, 1.5)
    (rows,) = load(tmp_path).cells
    for name in batches[0]:
        expected = np.concatenate([b[name] for b in batches])
        assert rows.columns[name].dtype == expected.dtype
        assert np.array_equal(rows.columns[name], expected), name
    assert np.array_equal(rows.columns["target"], [np.nan, 1, 2, 3] * 3, equal_nan=True)
    assert list(rows.columns["adv_png"][:2]) == [b"\x89", None]
    assert np.isnan(rows.columns["ssim"]).all()
    assert rows.complete
    assert not rows.stale
    assert rows.meta["seconds"] == 4.5
    assert cell.parts() == {0, 1, 2}


def test_a_part_from_before_a_column_was_added_is_read_with_nulls(tmp_path, meta, make_batch):
    cell = Store(tmp_path).cell("abc")
    cell.create(meta)
    for index in range(2):
        later = {"unsolved": [1, 0, 2, 0], "nonfinite_gradients": [1, 0, 2, 0]}
        cell.append(index, make_batch(range(4 * index, 4 * index + 4)) | later, seconds=1.5)
    old = cell.files()[0]
    rows = pq.read_table(old)
    pq.write_table(rows.drop_columns(list(later)), old)
    (read,) = load(tmp_path).cells
    assert read.columns["id"].tolist() == list(range(8))
    for name in later:
        assert np.array_equal(read.columns[name], [np.nan] * 4 + [1, 0, 2, 0], equal_nan=True)
    assert read.meta["seconds"] == 3.0
    pq.write_table(rows.drop_columns(["vanished"]), old)  # one that every part of this version has
    assert cell.parts() == {1}


def test_incomplete_until_every_sample_is_there(tmp_path, meta, make_batch):
    cell = Store(tmp_path).cell("abc")
    cell.create(meta)
    assert not load(tmp_path).cells[0].complete
    cell.append(0, make_batch(range(4)))
    assert not load(tmp_path).cells[0].complete
    cell.append(1, make_batch(range(4, 12)))
    assert load(tmp_path).cells[0].complete


def test_clean_only_cell_has_nulls_in_attack_columns(tmp_path, meta, make_batch):
    cell = Store(tmp_path).cell("clean")
    cell.create(meta | {"clean_only": True, "n": 2})
    full = make_batch(range(2))
    cell.append(0, {k: full[k] for k in ("id", "y", "clean_label", "clean_correct", "clean_confidence")})
    columns = load(tmp_path).cells[0].columns
    assert not columns["success"].any()
    assert np.isnan(columns["l2"]).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.pop("l2"), "l2 missing"),
        (lambda c: c.update(l3=c["l2"]), "l3"),
        (lambda c: c.update(y=c["y"][:-1]), "equal length"),
        (lambda c: c.update(y=[None, 1, 2, 3]), "no nulls"),
        (lambda c: c.update(y=["a", "b", "c", "d"]), "expected int64"),
    ],
)
def test_wrong_columns_are_refused_in_one_line(tmp_path, meta, make_batch, change, words):
    cell = Store(tmp_path).cell("abc")
    cell.create(meta)
    columns = make_batch(range(4))
    change(columns)
    with pytest.raises(ContractError, match=words) as caught:
        cell.append(0, columns)
    assert "\n" not in str(caught.value)
    assert cell.parts() == set()


def test_create_is_idempotent_and_another_schema_is_refused(tmp_path, meta):
    cell = Store(tmp_path).cell("abc")
    first = cell.create(meta | {"created": "monday"})
    assert cell.create(meta | {"created": "tuesday"}) == first
    path = cell.path / "cell.json"
    path.write_text(json.dumps(first | {"schema": 99}))
    with pytest.raises(ContractError, match="expected schema 1, got 99"):
        cell.create(meta)
    with pytest.raises(ContractError, match="expected schema 1, got 99"):
        load(tmp_path)


@pytest.mark.parametrize("key", ["../up", "a/b", "", "."])
def test_a_cell_cannot_leave_the_run_directory(tmp_path, key):
    with pytest.raises(ContractError):
        Store(tmp_path).cell(key)


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty", "other"])
def test_a_damaged_part_is_named_once_and_counts_as_missing(tmp_path, meta, make_batch, caplog, damage):
    cell = Store(tmp_path).cell("abc")
    cell.create(meta)
    for index in range(3):
        cell.append(index, make_batch(range(4 * index, 4 * index + 4)))
    path = cell.path / "parts" / "00001.parquet"
    content = bytearray(path.read_bytes())
    if damage == "truncate":
        content = content[: len(content) // 2]
    elif damage == "flip":
        chunk = pq.read_metadata(path).row_group(0).column(0)
        content[chunk.data_page_offset + chunk.total_compressed_size // 2] ^= 0xFF  # in a page, which has a checksum
    elif damage == "empty":
        content = bytearray()
    else:
        content = bytearray(b"<html>not a parquet file</html>")
    path.write_bytes(bytes(content))
    with caplog.at_level(logging.WARNING):
        assert cell.parts() == {0, 2}
        assert cell.parts() == {0, 2}
    assert len(caplog.records) == 1
    assert str(path) in caplog.messages[0]
    assert "\n" not in caplog.messages[0]
    (rows,) = load(tmp_path).cells
    assert rows.damaged == (path,)
    assert not rows.complete
    cell.append(1, make_batch(range(4, 8)))
    assert cell.parts() == {0, 1, 2}


def test_a_failure_is_cleared_by_a_later_part_and_survives_a_torn_line(tmp_path, meta, make_batch):
    cell = Store(tmp_path).cell("abc")
    cell.create(meta)
    cell.fail(0, "out of memory", "first")
    with (cell.path / "failures.jsonl").open("a") as handle:
        handle.write('{"index": 1, "err')  # killed in the middle of a write
    cell.fail(0, "out of memory", "second")
    cell.fail(2, "no")
    assert [(f["index"], f["traceback"]) for f in cell.failures()] == [(0, "second"), (2, "")]
    cell.append(0, make_batch(range(4)))
    assert [f["index"] for f in load(tmp_path).cells[0].failures] == [2]


WRITER = """
import sys
import vauban.store.files as files
from vauban.store import Store
def stuck(handle):
    print("writing", flush=True)
    sys.stdin.read()  # until the one who started it is done or dead
files.os.fsync = stuck
cell = Store(sys.argv[1]).cell("abc")
with cell.lock(0) as mine:
    files.write_atomic(cell.path / "parts" / "00000.parquet", lambda path: path.write_bytes(b"half"))
"""


@pytest.mark.slow
def test_kill_in_the_middle_of_a_write_leaves_no_part_and_the_lock_is_free(tmp_path, meta, make_batch):
    cell = Store(tmp_path).cell("abc")
    cell.create(meta)
    with cell.lock(0) as mine:
        assert mine
    child = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stdout.readline() == "writing\n"
    leftovers = list((cell.path / "parts").glob(".*.tmp"))
    assert len(leftovers) == 1
    with cell.lock(0) as mine:
        assert not mine
    with cell.lock(1) as other:
        assert other
    cell.create(meta)
    assert leftovers[0].exists()  # its writer lives
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdin.close()
    child.stdout.close()
    assert cell.parts() == set()
    with cell.lock(0) as mine:
        assert mine
    cell.create(meta)
    assert not leftovers[0].exists()


def test_the_temporary_file_of_a_living_writer_is_kept(tmp_path):
    from vauban.store import files

    seen = []

    def write(path):
        files.clean_leftovers(path.parent)
        seen.append(path)
        path.write_text("x")

    files.write_atomic(tmp_path / "a.json", write)
    assert (tmp_path / "a.json").read_text() == "x"
    assert not seen[0].exists()


def test_a_failed_write_leaves_the_old_file(tmp_path):
    from vauban.store import files

    files.write_json(tmp_path / "a.json", {"v": 1})

    def broken(path):
        path.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        files.write_atomic(tmp_path / "a.json", broken)
    assert files.read_json(tmp_path / "a.json") == {"v": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_concurrent_writers_and_readers_never_see_half_a_part(tmp_path, meta, make_batch, caplog):
    cell = Store(tmp_path).cell("abc")
    errors = []

    def write(first):
        try:
            mine = Store(tmp_path).cell("abc")
            mine.create(meta)
            for index in range(3):
                mine.append(index, make_batch(range(4 * index, 4 * index + 4), seed=index))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        cell.parts()
        time.sleep(0.001)
    for thread in threads:
        thread.join()
    assert errors == []
    assert caplog.records == []
    assert load(tmp_path).cells[0].complete
    assert not list(tmp_path.rglob("*.tmp"))


def test_stale_after_the_source_changes(tmp_path, meta):
    mine = tmp_path / "attack.py"
    mine.write_text("x = 1\n")
    sources = described([mine])
    assert changed(sources) == []
    cell = Store(tmp_path).cell("abc")
    cell.create(meta | {"sources": sources})
    assert not load(tmp_path).cells[0].stale
    mine.write_text("x = 2\n")
    assert load(tmp_path).cells[0].changed == (str(mine),)
    mine.unlink()
    assert load(tmp_path).cells[0].stale


def test_package_sources_are_named_independently_of_the_checkout():
    import vauban.store.files as module

    assert list(described([Path(module.__file__)])) == ["vauban/store/files.py"]
    assert changed(described([Path(module.__file__)])) == []


def test_study_and_findings(tmp_path):
    store = Store(tmp_path)
    with pytest.raises(ContractError, match="expected a run directory"):
        load(tmp_path)
    store.write_study({"command": "vauban evaluate"})
    finding = {"code": "x", "severity": "info", "message": "m"}
    store.write_findings([finding])
    run = load(tmp_path)
    assert (run.study["command"], run.findings) == ("vauban evaluate", [finding])
    (tmp_path / "study.json").write_text("{")
    with pytest.raises(ContractError, match=r"study\.json"):
        load(tmp_path)


@pytest.mark.slow
def test_the_store_needs_no_torch():
    code = (
        "import sys, vauban.store, vauban.statistics.combine, vauban.report.run.page; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_cells_that_the_last_plan_contradicts_are_superseded(tmp_path, meta):
    store = Store(tmp_path)
    made = {
        "same-words": meta | {"probe": [[1.0]]},
        "other-attack": meta | {"attack": "ddn", "probe": [[2.0]]},
        "other-network": meta | {"attack": "ddn", "probe": [[1.0]]},
        "other-defence": meta | {"defence": "jpeg", "probe": [[5.0]]},
        "planned": meta | {"probe": [[2.0]]},
    }
    for key, facts in made.items():
        store.cell(key).create(facts)
    assert not any(cell.superseded for cell in load(tmp_path).cells)
    store.write_study({"cells": ["planned"]})
    superseded = {cell.meta["hash"]: cell.superseded for cell in load(tmp_path).cells}
    assert [key for key, old in superseded.items() if old] == ["other-network", "same-words"]
