"""The template of a table: written once, loaded as it is, every printed row beside a cell."""

from __future__ import annotations

from pathlib import Path

import pytest

from vauban.core.errors import VaubanError
from vauban.reproduce import load
from vauban.reproduce.printed import beside, printed
from vauban.reproduce.template import write_template


def test_written_and_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert write_template("new/my.py") == (Path("new/my.py"), Path("new/my.csv"))
    experiment = load("new/my.py")
    assert experiment.id == "my-1"
    for scale in experiment.scales.values():
        facts = [beside(cell, printed(experiment.printed)) for cell in experiment.cells(scale)]
        assert [None if fact is None else fact.value for fact in facts] == [0.93, 0.35, 0.90, 0.55]
    with pytest.raises(VaubanError, match=r"new/my\.py, which is there"):
        write_template("new/my.py")
    Path("new/my.py").unlink()
    with pytest.raises(VaubanError, match=r"new/my\.csv, which is there"):
        write_template("new/my.py")
    assert not Path("new/my.py").exists()


@pytest.mark.parametrize("name", ["my.txt", "my paper.py", "my"])
def test_names(name: str, tmp_path: Path) -> None:
    with pytest.raises(VaubanError, match=r"ends in \.py"):
        write_template(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_file_without_the_name_of_its_experiment(tmp_path: Path) -> None:
    write_template(tmp_path / "my.py")
    text = (tmp_path / "my.py").read_text()
    (tmp_path / "two.py").write_text(text + "\nother = table\n")
    with pytest.raises(VaubanError, match=r"the experiments table, other; name it: .*two\.py:table"):
        load(str(tmp_path / "two.py"))
    (tmp_path / "none.py").write_text("x = 1\n")
    with pytest.raises(VaubanError, match="got none"):
        load(str(tmp_path / "none.py"))
