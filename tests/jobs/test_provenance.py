"""Provenance: an edit of any file that a row depends on changes its address, and no other edit does."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from vauban.attacks import PGD
from vauban.evaluate.cell import Cell
from vauban.evaluate.study import Study
from vauban.jobs import source_files as source_files_module
from vauban.jobs.provenance import source_files
from vauban.store import sources
from vauban.store.sources import PACKAGE
from vauban.words.files import load_file

LAYER = """
        self.register_buffer("w", torch.linspace(-1, 1, 640).sin().view(10, 64))

    def forward(self, x):
        return {scale} * x.flatten(1) @ self.w.T
"""
NET = (
    """import torch
from torch import nn
{imports}

class Net({base}):
    def __init__(self):
        super().__init__()
        {first}"""
    + LAYER
)


def net(imports: str, scale: str = "20", base: str = "nn.Module", first: str = "pass") -> str:
    """The text of a file with a linear network."""
    return NET.format(imports=imports, scale=scale, base=base, first=first)


HELPER = "SCALE = 20.0\n"
Files = dict[str, str]
IMPORTS: dict[str, tuple[Files, str]] = {
    "constant": ({"net.py": net("from aid import SCALE", "SCALE"), "aid.py": HELPER}, "aid.py"),
    "module": ({"net.py": net("import aid", "aid.SCALE"), "aid.py": HELPER}, "aid.py"),
    "alias": ({"net.py": net("import aid as other", "other.SCALE"), "aid.py": HELPER}, "aid.py"),
    "renamed": ({"net.py": net("from aid import SCALE as S", "S"), "aid.py": HELPER}, "aid.py"),
    "star": ({"net.py": net("from aid import *", "SCALE"), "aid.py": HELPER}, "aid.py"),
    "package": ({"net.py": net("import kit", "kit.SCALE"), "kit/__init__.py": HELPER}, "kit/__init__.py"),
    "package above": (
        {"net.py": net("import kit.a", "kit.a.SCALE"), "kit/__init__.py": "ONE = 1\n", "kit/a.py": HELPER},
        "kit/__init__.py",
    ),
    "submodule": (
        {"net.py": net("import kit.a", "kit.a.SCALE"), "kit/__init__.py": "", "kit/a.py": HELPER},
        "kit/a.py",
    ),
    "submodule by name": (
        {"net.py": net("from kit import a", "a.SCALE"), "kit/__init__.py": "", "kit/a.py": HELPER},
        "kit/a.py",
    ),
    "handed on": (
        {
            "net.py": net("from kit import SCALE", "SCALE"),
            "kit/__init__.py": "from kit.a import SCALE\n",
            "kit/a.py": HELPER,
        },
        "kit/a.py",
    ),
    "relative": (
        {
            "net.py": net("from kit.b import TWICE", "TWICE"),
            "kit/__init__.py": "",
            "kit/a.py": HELPER,
            "kit/b.py": "from .a import SCALE\nTWICE = 2 * SCALE\n",
        },
        "kit/a.py",
    ),
    "relative module": (
        {
            "net.py": net("from kit.deep.b import TWICE", "TWICE"),
            "kit/__init__.py": "",
            "kit/a.py": HELPER,
            "kit/deep/__init__.py": "",
            "kit/deep/b.py": "from .. import a\nTWICE = 2 * a.SCALE\n",
        },
        "kit/a.py",
    ),
    "namespace": ({"net.py": net("import spaced.a", "spaced.a.SCALE"), "spaced/a.py": HELPER}, "spaced/a.py"),
    "namespace by name": ({"net.py": net("from spaced import a", "a.SCALE"), "spaced/a.py": HELPER}, "spaced/a.py"),
    "namespace, relative": (
        {
            "net.py": net("from spaced.b import TWICE", "TWICE"),
            "spaced/a.py": HELPER,
            "spaced/b.py": "from . import a\nTWICE = 2 * a.SCALE\n",
        },
        "spaced/a.py",
    ),
    "package before module": (
        {"net.py": net("import kit", "kit.SCALE"), "kit.py": "", "kit/__init__.py": HELPER},
        "kit/__init__.py",
    ),
    "in a function": ({"net.py": net("", first="import aid"), "aid.py": HELPER}, "aid.py"),
    "try": (
        {"net.py": net("try:\n    import absent\nexcept ImportError:\n    import aid"), "aid.py": HELPER},
        "aid.py",
    ),
    "dynamic": (
        {"net.py": net('import importlib\naid = importlib.import_module("aid")', "aid.SCALE"), "aid.py": HELPER},
        "aid.py",
    ),
    "dynamic, by a variable": (
        {
            "net.py": net('import importlib\nNAME = "aid"\naid = importlib.import_module(NAME)', "aid.SCALE"),
            "aid.py": HELPER,
        },
        "aid.py",
    ),
    "dynamic, renamed": (
        {
            "net.py": net('from importlib import import_module as fetch\naid = fetch(name="aid")', "aid.SCALE"),
            "aid.py": HELPER,
        },
        "aid.py",
    ),
    "dynamic, relative": (
        {
            "net.py": net("from kit.b import TWICE", "TWICE"),
            "kit/__init__.py": "",
            "kit/a.py": HELPER,
            "kit/b.py": "from importlib import import_module\nTWICE = 2 * import_module('.a', __package__).SCALE\n",
        },
        "kit/a.py",
    ),
    "dynamic, in a named package": (
        {
            "net.py": net("from importlib import import_module\naid = import_module('.a', 'kit')", "aid.SCALE"),
            "kit/__init__.py": "",
            "kit/a.py": HELPER,
        },
        "kit/a.py",
    ),
    "by a name of Python": ({"net.py": net('aid = __import__("aid")', "aid.SCALE"), "aid.py": HELPER}, "aid.py"),
    "conditional": (
        {
            "net.py": net("if len('ab') > 9:\n    import absent as aid\nelse:\n    import aid", "aid.SCALE"),
            "aid.py": HELPER,
        },
        "aid.py",
    ),
    "in a class": ({"net.py": net("class Kept:\n    from aid import SCALE", "Kept.SCALE"), "aid.py": HELPER}, "aid.py"),
    "star of a package": (
        {"net.py": net("from kit import *", "SCALE"), "kit/__init__.py": "from kit.a import *\n", "kit/a.py": HELPER},
        "kit/a.py",
    ),
    "star of a package, handed on by name": (
        {"net.py": net("from kit import SCALE", "SCALE"), "kit/__init__.py": "from .a import *\n", "kit/a.py": HELPER},
        "kit/a.py",
    ),
    "transitive": (
        {
            "net.py": net("from one import SCALE", "SCALE"),
            "one.py": "import two\nSCALE = two.SCALE\n",
            "two.py": "from aid import SCALE\n",
            "aid.py": HELPER,
        },
        "aid.py",
    ),
    "base class": (
        {
            "net.py": net("from aid import Base", base="Base"),
            "aid.py": "from torch import nn\nclass Base(nn.Module):\n    size = 1\n",
        },
        "aid.py",
    ),
    "loss": (
        {
            "net.py": net(""),
            "loss.py": "from aid import make\nmine = make(2)\n",
            "aid.py": "from vauban.core.losses import cross_entropy\n"
            "def make(k):\n    def loss(logits, aim):\n        return k * cross_entropy(logits, aim)\n    return loss\n",
        },
        "aid.py",
    ),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that can be imported from; its modules are forgotten after the test."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before, path = dict(sys.modules), tmp_path / "mine"
    path.mkdir()
    monkeypatch.syspath_prepend(str(path))
    yield path
    for name in sys.modules.keys() - before.keys():
        if str(path) in str(getattr(sys.modules[name], "__path__", "")) + str(
            getattr(sys.modules[name], "__file__", "")
        ):
            del sys.modules[name]


def write(folder: Path, files: Files) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)


def cell(folder: Path, attack: str = "pgd:steps=2,eps=0.1") -> Cell:
    """The cell of the network of a folder, attacked by its loss where it has one."""
    if (folder / "loss.py").exists():
        attack += f",loss={folder / 'loss.py'}:mine"
    words = {"data": "digits/test[:4]", "models": f"{folder / 'net.py'}:Net", "attacks": attack, "preflight": False}
    (planned,) = Study(folder.parent / "run", **words).cells
    return planned


@pytest.mark.slow
@pytest.mark.parametrize("way", IMPORTS)
def test_an_edit_of_an_imported_file_changes_the_address_and_a_comment_does_not(way: str, folder: Path) -> None:
    files, name = IMPORTS[way]
    write(folder, {**files, "bystander.py": HELPER})
    before = cell(folder).hash
    edited = folder / name
    content = edited.read_text()
    write(folder, {file: said(text) for file, text in files.items()})
    assert cell(folder).hash == before
    edited.write_text(content.replace("20.0", "21.0").replace("= 1", "= 3").replace("k *", "2 * k *"))
    assert edited.read_text() != content
    assert cell(folder).hash != before
    edited.write_text(content)
    (folder / "bystander.py").write_text("SCALE = 1\n")
    assert cell(folder).hash == before


READ = {
    "beside the file": ("from pathlib import Path", "Path(__file__).with_name('scale.txt').read_text()"),
    "below the folder": ("from pathlib import Path", "(Path(__file__).parent / 'scale.txt').read_text()"),
    "joined": ("import os", "open(os.path.join(os.path.dirname(__file__), 'scale.txt')).read()"),
    "by a variable": (
        "from pathlib import Path\nHERE = Path(__file__).parent\nPLACE = HERE / 'scale.txt'",
        "PLACE.read_text(encoding='utf-8')",
    ),
    "an array": (
        "import numpy as np\nfrom pathlib import Path",
        "np.loadtxt(str(Path(__file__).with_name('scale.txt')))",
    ),
    "opened": ("from pathlib import Path", "Path(__file__).with_name('scale.txt').open().read()"),
    "from the current folder": ("", "open('scale.txt', 'r').read()"),
    "in a folder": ("from pathlib import Path", "(Path(__file__).parent / 'deep' / 'scale.txt').read_text()"),
    "of a package": ("from kit.a import SCALE", "SCALE"),
}


@pytest.mark.slow
@pytest.mark.parametrize("way", READ)
def test_a_file_that_a_users_file_reads_counts(way: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines, expression = READ[way]
    write(
        folder,
        {
            "net.py": net(lines, f"float({expression})"),
            "kit/__init__.py": "",
            "kit/a.py": "from pathlib import Path\nSCALE = (Path(__file__).parent.parent / 'scale.txt').read_text()\n",
            **dict.fromkeys(("scale.txt", "deep/scale.txt", "other.txt"), "20.0"),
        },
    )
    monkeypatch.chdir(folder)
    before = cell(folder).hash
    (folder / "other.txt").write_text("21.0")
    assert cell(folder).hash == before
    for name in ("scale.txt", "deep/scale.txt"):
        (folder / name).write_text("21.0")
    assert cell(folder).hash != before


def test_a_file_that_is_written_a_large_one_and_a_mere_name_do_not_count(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = (
        "LOG, NAME = 'log.txt', 'name.txt'\n"
        "def note():\n"
        "    open(LOG, 'a').write(NAME)\n"
        "    open('log.txt', mode='w').write('')\n"
        "    open('large.txt').read()\n"
        "    open('absent.txt').read()\n"
        "    print('name.txt', 'a' * 9999, open('\\x00').read())"
    )
    write(folder, {"net.py": net(lines), **dict.fromkeys(("log.txt", "name.txt", "large.txt"), "1")})
    monkeypatch.setattr(source_files_module, "LARGEST", 0)
    monkeypatch.chdir(folder)
    names = {file.name for file in cell(folder)._files() if file.is_relative_to(folder)}
    assert names == {"net.py"}
    monkeypatch.setattr(source_files_module, "LARGEST", 9)
    names = {file.name for file in cell(folder)._files() if file.is_relative_to(folder)}
    assert names == {"net.py", "large.txt"}


def said(content: str) -> str:
    """The same program with a docstring for the module and its functions, comments and blank lines."""
    lines = ['"""A docstring."""', "# a comment"]
    for line in content.splitlines():
        lines.append(f"{line}  # why" if line.strip() else "")
        if line.lstrip().startswith(("def ", "class ")) and line.endswith(":"):
            indent = " " * (len(line) - len(line.lstrip()) + 4)
            lines += [f'{indent}"""What it is."""', "", f"{indent}# more"]
    return "\n\n".join(lines) + "\n"


def test_what_only_type_checkers_read_does_not_count(folder: Path) -> None:
    write(
        folder,
        {
            "net.py": net("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import aid\nelse:\n    import kit"),
            "aid.py": HELPER,
            "kit.py": HELPER,
        },
    )
    names = {file.name for file in cell(folder)._files() if file.is_relative_to(folder)}
    assert names == {"net.py", "kit.py"}


@pytest.mark.parametrize("test", ["not TYPE_CHECKING", "TYPE_CHECKING or True"])
def test_what_runs_counts_though_it_speaks_of_type_checkers(test: str, folder: Path) -> None:
    write(folder, {"net.py": f"from typing import TYPE_CHECKING\nif {test}:\n    import aid\n", "aid.py": HELPER})
    assert {file.name for file in source_files(extra=[folder / "net.py"])} == {"net.py", "aid.py"}


def own(planned: Cell) -> set[str]:
    """The files of vauban that a cell depends on, from the package's folder."""
    return {str(file.relative_to(PACKAGE)) for file in planned._files() if file.is_relative_to(PACKAGE)}


def test_of_vauban_only_what_is_used_counts(folder: Path) -> None:
    write(folder, {"net.py": net("")})
    fgsm, pgd = own(cell(folder, "fgsm:eps=0.1")), own(cell(folder))
    assert {"attacks/fixed_budget/fgsm.py", "engine/iterate.py", "engine/verdict.py", "evaluate/batch.py"} <= fgsm
    stepped = {"attacks/fixed_budget/pgd.py", "attacks/parts/stepsize.py"}
    assert fgsm ^ pgd == {"attacks/fixed_budget/fgsm.py", *stepped}
    attacks = {name for name in fgsm if name.startswith("attacks/")}
    assert attacks - {"attacks/fixed_budget/fgsm.py"} == {
        f"attacks/parts/{part}.py" for part in ("ascent", "ball_steps", "minimal_steps")
    }
    assert {name for name in fgsm if name.startswith("defences/")} <= {"defences/base.py", "defences/compose.py"}
    other_sets = {f"data/{path.name}" for path in (PACKAGE / "data").glob("*.py")} - {
        f"data/{name}.py" for name in ("dataset", "digits", "named")
    }
    assert len(other_sets) > 5
    assert not {
        name
        for name in fgsm
        if name in other_sets
        or name.split("/")[0] in ("laplacian", "cli", "report", "reproduce", "training", "certificates", "statistics")
        or name.endswith("__init__.py")
    }


@pytest.mark.slow
@pytest.mark.parametrize("attack", ["pgd:steps=2,eps=0.1", "qpgd2:steps=2,eps=0.1"])
def test_smoothing_numerics_count_for_who_smooths_and_the_loop_for_all(
    attack: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, {"net.py": net("")})
    before, digest = cell(folder, attack).hash, sources.digest
    numerics = sorted(PACKAGE.glob("laplacian/[a-z]*.py"))
    assert len(numerics) > 3

    def edited(*files: Path, more: str) -> str:
        """The address after lines were appended to files of vauban."""

        def of(file: Path) -> str:
            if file not in files:
                return digest(file)
            (tmp_path / f"{len(more)}-{file.name}").write_text(file.read_text() + more)
            return digest(tmp_path / f"{len(more)}-{file.name}")

        with monkeypatch.context() as patch:
            patch.setattr(sources, "digest", of)
            return cell(folder, attack).hash

    everything = sorted(PACKAGE.rglob("*.py"))
    assert edited(*everything, more="\n# a comment\n") == before
    assert (edited(*numerics, more="\nEDIT = 1\n") == before) == attack.startswith("pgd")
    assert edited(PACKAGE / "engine" / "iterate.py", more="\nEDITED = 1\n") != before


def test_sources_of_a_function_hold_what_it_captured(folder: Path) -> None:
    write(
        folder, {"one.py": "def keep(f):\n    return lambda x: f(x)\n", "two.py": "def twice(x):\n    return 2 * x\n"}
    )
    one, two = (load_file(folder / name) for name in ("one.py", "two.py"))
    assert {file.name for file in source_files(one.keep(two.twice))} == {"one.py", "two.py"}
    assert {file.name for file in source_files(one.keep(len))} == {"one.py"}


def test_a_file_that_is_no_python_counts_by_its_bytes(tmp_path: Path) -> None:
    weights = tmp_path / "weights.bin"
    weights.write_bytes(b"\x00# a")
    before = sources.digest(weights)
    weights.write_bytes(b"\x00# abc")
    assert sources.digest(weights) != before
    assert source_files(extra=[weights]) == [weights]


@pytest.mark.parametrize(
    "line",
    [
        "import vauban as vb\nmake = vb.attacks.PGD",
        "import vauban.attacks\nmake = vauban.attacks.PGD",
        "import vauban.attacks as them\nmake = them.PGD",
        "from vauban import attacks\nmake = attacks.PGD",
        "from vauban.attacks import PGD\nmake = PGD",
        "from vauban.attacks import *\nmake = PGD",
        "def make():\n    from vauban.attacks import PGD\n    return PGD",
    ],
)
def test_of_a_package_of_vauban_only_the_file_behind_a_name_counts(line: str, folder: Path) -> None:
    write(folder, {"one.py": f"{line}\n", "two.py": f"{line}\n".replace("PGD", "FGSM")})
    pgd, fgsm = (
        {str(path.relative_to(PACKAGE)) for path in source_files(extra=[folder / file]) if path.is_relative_to(PACKAGE)}
        for file in ("one.py", "two.py")
    )
    assert pgd - fgsm == {"attacks/fixed_budget/pgd.py", "attacks/parts/stepsize.py"}
    assert fgsm - pgd == {"attacks/fixed_budget/fgsm.py"}
    assert not {name for name in pgd if name.endswith("__init__.py")}


@pytest.mark.parametrize(
    "lines", ["from vauban.attacks import *\nmake = PGD", "from vauban import *\nmake = attacks.PGD"]
)
def test_a_star_takes_what_a_face_shows_and_counts_the_files_behind_it(lines: str, folder: Path) -> None:
    write(folder, {"one.py": lines + "\n"})
    assert load_file(folder / "one.py").make is PGD
    counted = source_files(extra=[folder / "one.py"])
    assert {PACKAGE / "attacks/fixed_budget/pgd.py", PACKAGE / "engine/iterate.py"} <= set(counted)


def test_a_file_that_moves_is_looked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.py").write_text(f"value = {folder!r}")
        monkeypatch.chdir(tmp_path / folder)
        assert source_files_module.existing("x.py") == source_files_module.real("x.py") == tmp_path / folder / "x.py"
        assert list(sources.described([Path("x.py")])) == [str(tmp_path / folder / "x.py")]
    (tmp_path / "b" / "x.py").unlink()
    assert source_files_module.existing("x.py") is None
    (tmp_path / "link.py").symlink_to(tmp_path / "a" / "x.py")
    assert list(sources.described([tmp_path / "link.py"])) == [str(tmp_path / "a" / "x.py")]
    (tmp_path / "link.py").unlink()
    (tmp_path / "c.py").write_text("value = 3")
    (tmp_path / "link.py").symlink_to(tmp_path / "c.py")
    assert list(sources.described([tmp_path / "link.py"])) == [str(tmp_path / "c.py")]
