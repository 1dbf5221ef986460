"""Files that import others beside them: each folder has its own, in one process, and an edit is always seen."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

import pytest

from vauban.core.errors import ContractError
from vauban.evaluate.study import Study
from vauban.jobs.provenance import source_files
from vauban.words import user_modules
from vauban.words.files import load_file

WAYS = {
    "module": "import config\nvalue = config.VALUE",
    "name": "from config import VALUE as value",
    "star": "from config import *\nvalue = VALUE",
    "in a function": "def late():\n    import config\n    return config.VALUE\nvalue = late()",
    "alias": "import kit.deep as deep\nvalue = deep.VALUE",
    "package": "import kit.deep\nvalue = kit.deep.VALUE",
    "of a package": "from kit import deep\nvalue = deep.VALUE",
    "namespace": "import spaced.deep\nvalue = spaced.deep.VALUE",
    "transitive": "from handing import VALUE as value",
    "absolute, inside a package": "from kit.absolute import VALUE as value",
    "relative, inside a package": "from kit.relative import VALUE as value",
    "dynamic": "import importlib\nvalue = importlib.import_module('config').VALUE",
    "named before": "import resource_of_nobody\nvalue = resource_of_nobody.VALUE",
}


def project(folder: Path, value: float, way: str = "module") -> Path:
    """A folder with every way to a value; the file is the same in all folders."""
    files = {
        **dict.fromkeys(("config.py", "kit/deep.py", "spaced/deep.py", "resource_of_nobody.py"), f"VALUE = {value}\n"),
        "handing.py": "from config import VALUE\n",
        "kit/__init__.py": "",
        "kit/absolute.py": "from config import VALUE\n",
        "kit/relative.py": "from .deep import VALUE\n",
        "kit/config.py": "VALUE = -1\n",
        "net.py": f"{WAYS[way]}\n\ndef late():\n    from config import VALUE\n    return VALUE\n",
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder / "net.py"


@pytest.mark.parametrize("way", WAYS)
def test_each_file_sees_its_own_siblings(way: str, tmp_path: Path) -> None:
    before = set(sys.modules)
    one, two = project(tmp_path / "one", 1.0, way), project(tmp_path / "two", 2.0, way)
    assert [load_file(file).value for file in (one, two, one)] == [1.0, 2.0, 1.0]
    assert [load_file(file).late() for file in (one, two)] == [1.0, 2.0]
    assert all(name.startswith("vauban_") for name in set(sys.modules) - before)
    assert str(tmp_path / "one") not in sys.path
    for file in (one, two):
        counted = [path for path in source_files(extra=[file]) if path.is_relative_to(tmp_path)]
        assert file in counted
        assert file.with_name("config.py") in counted
        assert all(path.is_relative_to(file.parent) for path in counted)
        assert file.parent / "kit/config.py" not in counted
    (one.parent / "config.py").write_text("VALUE = 3.5\n")
    assert load_file(one).late() == 3.5
    assert load_file(two).late() == 2.0


def test_a_module_of_the_process_is_not_taken_for_a_sibling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = project(tmp_path / "own", 7.0).parent
    monkeypatch.syspath_prepend(str(own))
    monkeypatch.delitem(sys.modules, "config", raising=False)
    import config  # type: ignore[import-not-found]

    other = project(tmp_path / "other", 1.0)
    assert load_file(other).value == 1.0
    assert sys.modules["config"] is config
    assert load_file(own / "net.py").config is config  # the same file is the same module
    monkeypatch.delitem(sys.modules, "config")


def test_two_files_of_a_folder_share_their_siblings_and_classes_are_found(tmp_path: Path) -> None:
    (tmp_path / "base.py").write_text("class Base:\n    size = 1\n")
    for name in ("one.py", "two.py"):
        (tmp_path / name).write_text("from base import Base\nclass Mine(Base):\n    pass\n")
    one, two = load_file(tmp_path / "one.py"), load_file(tmp_path / "two.py")
    assert one.Base is two.Base
    assert inspect.getsourcefile(one.Base) == str(tmp_path / "base.py")
    assert {file.name for file in source_files(one.Mine)} == {"one.py", "base.py"}


def test_a_file_that_was_named_from_another_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project(tmp_path / "one", 1.0)
    monkeypatch.chdir(tmp_path)
    module = load_file(Path("one/net.py"))
    monkeypatch.chdir(tmp_path / "one" / "kit")
    assert {file.name for file in source_files(module.late)} >= {"net.py", "config.py"}
    assert module.late() == 1.0


def test_a_sibling_that_is_absent_or_broken_is_named_as_the_file_names_it(tmp_path: Path) -> None:
    (tmp_path / "kit").mkdir()
    (tmp_path / "kit" / "__init__.py").write_text("")
    (tmp_path / "broken.py").write_text("raise ValueError('no')\n")
    for line, says in (
        ("import absent", "No module named 'absent'"),
        ("import kit.absent", "No module named 'kit.absent'"),
        ("import broken", "ValueError: no"),
    ):
        (tmp_path / "net.py").write_text(line + "\n")
        for _ in range(2):
            with pytest.raises(ContractError, match=says):
                load_file(tmp_path / "net.py")


def test_packages_are_not_shadowed_by_folders(tmp_path: Path) -> None:
    for name in ("torch", "vauban", "json"):
        (tmp_path / name).mkdir()
    (tmp_path / "vauban" / "__init__.py").write_text("raise ValueError('a copy')\n")
    (tmp_path / "net.py").write_text("import json, torch, vauban\nfrom vauban import attacks\n")
    module = load_file(tmp_path / "net.py")
    assert (module.torch, module.vauban, module.json) == tuple(sys.modules[n] for n in ("torch", "vauban", "json"))


NET = """
import torch
from torch import nn
import config

class Net(nn.Module):
    def forward(self, x):
        import config as late
        return late.VALUE * x.flatten(1)[:, :10] + config.VALUE
"""


def test_the_cells_of_two_projects_have_their_own_addresses(tmp_path: Path) -> None:
    def address(name: str) -> str:
        words = {"models": f"{tmp_path / name / 'net.py'}:Net", "attacks": "fgsm:eps=0.1", "data": "digits/test[:4]"}
        (cell,) = Study(tmp_path / "run", preflight=False, **words).cells  # type: ignore[arg-type]
        return cell.hash

    for name, value in (("one", 1.0), ("two", 2.0), ("copy", 1.0)):
        project(tmp_path / name, value).write_text(NET)
    assert address("one") == address("copy") != address("two")
    (tmp_path / "two" / "config.py").write_text("VALUE = 1.0\n")
    assert address("one") == address("two")


def test_a_file_that_registers_a_thing_is_read_again_after_an_edit_beside_it(tmp_path: Path) -> None:
    project(tmp_path, 1.0).write_text(
        "import config\nfrom vauban.metrics import registry\n"
        "@registry.register('mine-of-a-test', unit='1', direction='lower', aggregate='mean', reads='pair')\n"
        "def mine(x, y):\n    return config.VALUE + (x - y).flatten(1).sum(1)\n"
    )
    try:
        for value in (1.0, 2.5):
            (tmp_path / "config.py").write_text(f"VALUE = {value}\n")
            assert value == load_file(tmp_path / "net.py").config.VALUE
    finally:
        from vauban.metrics import registry

        del registry._entries["mine-of-a-test"]


def test_a_folder_that_a_file_adds_to_the_path_is_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name, value in (("one", 1.0), ("two", 2.0)):
        (tmp_path / name / "lib").mkdir(parents=True)
        (tmp_path / name / "lib" / "helper_of_nobody.py").write_text(f"VALUE = {value}\n")
        (tmp_path / name / "net.py").write_text(
            "import os, sys\n"
            "sys.path.insert(0, os.path.join(os.path.dirname(__file__), 'lib'))\n"
            "import helper_of_nobody\n"
            "def value():\n    return helper_of_nobody.VALUE\n"
        )
    one, two = (tmp_path / name / "net.py" for name in ("one", "two"))
    assert [load_file(file).value() for file in (one, two, one)] == [1.0, 2.0, 1.0]
    (tmp_path / "one" / "lib" / "helper_of_nobody.py").write_text("VALUE = 3.25\n")
    assert [load_file(file).value() for file in (one, two)] == [3.25, 2.0]
    assert "helper_of_nobody" not in sys.modules


def test_the_standard_library_below_the_folder_is_the_process_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An environment of conda in the project's folder holds Python too."""
    library = tmp_path / "env" / "lib" / "python3"
    library.mkdir(parents=True)
    (library / "standard_of_nobody.py").write_text("VALUE = 1.0\n")
    monkeypatch.setattr(user_modules, "STANDARD", library)
    monkeypatch.syspath_prepend(str(library))
    (tmp_path / "net.py").write_text("import standard_of_nobody\n")
    try:
        assert load_file(tmp_path / "net.py").standard_of_nobody is sys.modules["standard_of_nobody"]
    finally:
        sys.modules.pop("standard_of_nobody", None)


def test_a_package_installed_below_the_folder_is_imported_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A virtual environment in the project's folder, the usual place: its modules are nobody's siblings."""
    packages = tmp_path / ".venv" / "lib" / "site-packages"
    packages.mkdir(parents=True)
    (packages / "installed_of_nobody.py").write_text("class Kept:\n    pass\n")
    monkeypatch.syspath_prepend(str(packages))
    for name in ("one.py", "two.py"):
        (tmp_path / name).write_text("import importlib\nvalue = importlib.import_module('installed_of_nobody').Kept\n")
    try:
        assert load_file(tmp_path / "one.py").value is load_file(tmp_path / "two.py").value
        assert "installed_of_nobody" in sys.modules
    finally:
        sys.modules.pop("installed_of_nobody", None)
