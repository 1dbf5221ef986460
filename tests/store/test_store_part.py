"""Parts: what was written is read, with its metadata; anything else is one line that names the file."""

import pyarrow as pa
import pytest

from vauban.core.errors import ContractError
from vauban.store.part import part_file, read_part, unreadable, write_part

ROWS = pa.table({"id": list(range(500)), "image": [bytes([i % 251]) * 40 for i in range(500)]})


@pytest.fixture
def path(tmp_path):
    return part_file(tmp_path / "deep", 7)


def test_a_part_is_read_as_it_was_written(path):
    assert path.name == "00007.parquet"
    write_part(path, ROWS.replace_schema_metadata({"stamp": "a"}), path.parents[1])
    assert read_part(path).equals(ROWS)
    assert read_part(path).schema.metadata[b"stamp"] == b"a"
    write_part(path, ROWS.slice(3, 4), path.parents[1])
    assert read_part(path)["id"].to_pylist() == [3, 4, 5, 6]
    assert [p.name for p in path.parent.iterdir()] == ["00007.parquet"]


def test_a_write_that_fails_leaves_the_old_part(path, monkeypatch):
    write_part(path, ROWS, path.parents[1])

    def fail(rows, temporary, **options):
        temporary.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr("pyarrow.parquet.write_table", fail)
    with pytest.raises(OSError, match="no space"):
        write_part(path, ROWS.slice(0, 1), path.parents[1])
    assert read_part(path).equals(ROWS)
    assert len(list(path.parent.iterdir())) == 1


def test_every_damage_is_one_line_with_the_name(path):
    with pytest.raises(ContractError, match=r"00007\.parquet: expected a Parquet part, got "):
        read_part(path)
    write_part(path, ROWS, path.parents[1])
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[60] ^= 1  # inside the first page: only its checksum can tell
    for content in (b"", b"PAR1", whole[: len(whole) // 2], bytes(flipped)):
        path.write_bytes(content)
        with pytest.raises(ContractError, match=r"00007\.parquet: expected a Parquet part, got \S") as caught:
            read_part(path)
        assert "\n" not in str(caught.value)


def test_a_reason_is_cut_to_its_first_line(path):
    assert str(unreadable(path, "x" * 500 + "\nmore")).endswith("got " + "x" * 120)
    assert str(unreadable(path, "")).endswith("got nothing readable")
