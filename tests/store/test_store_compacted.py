"""Compacted cells: the same rows out of one file, newer parts beside it, and a kill at any point of it."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from vauban.evaluate.inspection.digests import digest_checks
from vauban.store import Store, cell_store, compacted, load, row_pictures
from vauban.store.files import lock_part

PARTS, SIZE, FEW = 9, 3, 3
KILLED = """
import os, sys
from pathlib import Path
from vauban.evaluate.inspection.digests import digest_checks
from vauban.store import Store, cell_store
cell_store.FEW = 3
done, at = 0, int(sys.argv[2])

def or_die(act):
    def counted(*given, **named):
        global done
        done += 1
        if done > at:
            os._exit(9)
        return act(*given, **named)
    return counted

import pyarrow.parquet as pq
pq.ParquetWriter.write_table = or_die(pq.ParquetWriter.write_table)
os.fsync, Path.replace, Path.unlink = or_die(os.fsync), or_die(Path.replace), or_die(Path.unlink)
print(Store(sys.argv[1]).cell("abc").compact())
"""


@pytest.fixture
def cell(tmp_path, meta, make_batch, monkeypatch):
    monkeypatch.setattr(cell_store, "FEW", FEW)
    made = Store(tmp_path).cell("abc")
    made.create(
        {
            **meta,
            "n": PARTS * SIZE,
            "metrics": [{"name": "far", "unit": "px", "direction": "lower", "aggregate": "mean"}],
        }
    )
    for index in range(PARTS):
        ids = range(SIZE * index, SIZE * index + SIZE)
        picture = [b"%d" % i for i in ids] if index % 4 else [None] * SIZE
        own = {"clean_png": picture, "adv_png": picture, "far": np.asarray(ids) / 7}
        made.append(index, {**make_batch(ids, index), **own}, seconds=index / 8)
    return made


def rows_of(cell):
    (read,) = load(cell.path.parent.parent).cells
    return read


def same(one, other):
    assert one.meta == other.meta
    assert (one.complete, one.damaged, one.failures) == (other.complete, other.damaged, other.failures)
    for name, values in one.columns.items():
        np.testing.assert_array_equal(values, other.columns[name], err_msg=name)


def test_the_rows_are_the_same_out_of_one_file(cell, monkeypatch):
    monkeypatch.setattr(compacted, "GROUP_ROWS", 7)  # several row groups, and a batch at the end of each
    before = rows_of(cell)
    assert cell.compact()
    assert not cell.compact()
    assert [path.name for path in cell.files()] == ["rows.parquet"]
    same(rows_of(cell), before)
    assert cell.parts() == cell.indices() == set(range(PARTS))
    assert len(compacted.open_compacted(cell.files()[0]).groups) == 3
    assert cell.holds(7, range(21, 24), "clean_png")
    assert not cell.holds(8, range(24, 27), "clean_png")
    assert not cell.holds(7, range(22, 25))
    assert cell.part(7).seconds == 7 / 8
    assert [part.index for part in cell.each()] == list(range(PARTS))
    assert {check.state for check in digest_checks(cell.path.parent.parent)} == {"agrees"}
    (bare,) = load(cell.path.parent.parent, pictures=False).cells
    assert [bare.picture("adv_png", row) for row in np.flatnonzero(bare.pictured)] == [
        picture for picture in before.columns["adv_png"] if picture is not None
    ]


def test_a_newer_part_stands_for_its_batch_until_it_is_compacted_too(cell, make_batch, monkeypatch):
    monkeypatch.setattr(compacted, "GROUP_ROWS", 7)
    expected = rows_of(cell)
    cell.compact()
    newer = make_batch(range(21, 24), seed=99)
    cell.append(7, newer, seconds=1.0)
    for _ in range(2):
        read = rows_of(cell)
        assert np.array_equal(read.columns["l2"][21:24], newer["l2"])
        assert np.array_equal(
            np.delete(read.columns["l2"], [21, 22, 23]), np.delete(expected.columns["l2"], [21, 22, 23])
        )
        assert np.array_equal(read.columns["id"], expected.columns["id"])
        assert read.meta["seconds"] == expected.meta["seconds"] + 1 - 7 / 8
        (ids,) = load(cell.path.parent.parent, columns=["id"]).cells
        assert list(ids.columns) == ["id"]
        monkeypatch.setattr(cell_store, "FEW", 1)
        cell.compact()
    assert len(cell.files()) == 1


def test_a_damaged_file_counts_as_missing_and_its_batches_are_made_again(cell, make_batch, caplog):
    cell.compact()
    (path,) = cell.files()
    content = bytearray(path.read_bytes())
    content[40] ^= 1  # inside the first page: only its checksum can tell
    path.write_bytes(content)
    row_pictures._read.cache_clear()
    assert cell.parts() == set()
    assert not cell.holds(7, range(21, 24))
    assert rows_of(cell).damaged == (path,)
    cell.append(7, make_batch(range(21, 24)))
    assert cell.parts() == {7}
    path.write_bytes(b"PAR1")
    assert cell.indices() == {7}
    assert "its batches count as missing" in caplog.text


def test_what_is_not_ready_is_left(cell, tmp_path):
    one = cell.files()[3]
    whole = one.read_bytes()
    one.write_bytes(b"")
    assert not cell.compact()
    one.write_bytes(whole)
    holder = "import sys, pathlib; from vauban.store.files import lock_part\n"
    holder += "with lock_part(pathlib.Path(sys.argv[1]), 5) as mine: print(mine, flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(cell.path / "lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout.readline() == "True\n"
        assert not cell.compact()  # a part of it is being written
        with lock_part(cell.path / "lock", 6) as mine:
            assert mine
        other.communicate("")
    assert len(cell.files()) == PARTS
    assert cell.compact()


@pytest.mark.slow
@pytest.mark.parametrize("at", [0, 1, 3, 4, 6, 9])
def test_a_kill_at_any_point_leaves_every_row(cell, at):
    """Before the file is written, flushed, named; with its name, before the first part goes; while the parts go."""
    before = rows_of(cell)
    killed = subprocess.run([sys.executable, "-c", KILLED, str(cell.path.parent.parent), str(at)], check=False)
    assert killed.returncode == 9
    parts = len([path for path in cell.files() if path.name != "rows.parquet"])
    assert parts == PARTS if at < 7 else FEW <= parts < PARTS
    same(rows_of(cell), before)
    cell.create(before.meta)  # as a run that is resumed does
    assert not list(cell.path.glob(".*.tmp"))
    assert cell.compact()
    assert len(cell.files()) == 1
    same(rows_of(cell), before)
