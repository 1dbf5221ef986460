"""The public faces: complete, made from the registries, typed by stubs that are in step, and light to import."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import vauban as vb
from vauban.core.face import contents, file_of, identifier
from vauban.core.registry import Registry, registered_as
from vauban.words import KINDS

ROOT = Path(__file__).resolve().parents[1]


def stubs() -> Any:
    spec = importlib.util.spec_from_file_location("docs_stubs", ROOT / "docs" / "stubs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PACKAGES = [importlib.import_module(name) for name in stubs().FACES]
REGISTRIES = [
    (package, name) for package in PACKAGES for name, value in vars(package).items() if isinstance(value, Registry)
]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.__name__)
def test_every_name_is_shown_and_there(package: ModuleType) -> None:
    shown = dir(package)
    assert {name for name, *_ in contents(package)} <= set(shown)
    assert shown == sorted(set(shown))
    for name in shown:
        assert getattr(package, name) is getattr(package, name)
        assert not name.startswith("_")


@pytest.mark.parametrize(("package", "name"), REGISTRIES, ids=lambda v: getattr(v, "__name__", v))
def test_what_is_registered_is_on_the_face(package: ModuleType, name: str) -> None:
    registry: Registry[Any] = getattr(package, name)
    assert name in dir(package)
    assert len(list(registry)) > 0
    for entry in registry:
        assert getattr(package, entry.make.__name__) is entry.make
        assert entry.make.__name__ in dir(package)


def test_there_is_a_registry_in_every_face() -> None:
    assert {package.__name__ for package, _ in REGISTRIES} == {p.__name__ for p in PACKAGES} - {"vauban"}


def test_threats_are_there_by_their_registered_names() -> None:
    for entry in vb.threats.registry:
        assert getattr(vb.threats, identifier(entry.name)) is entry.make


@pytest.mark.parametrize("name", stubs().FACES)
def test_stubs_are_in_step(name: str) -> None:
    script = stubs()
    written = script.path(name).read_text()
    assert written == script.stub(importlib.import_module(name)), "run: python docs/stubs.py"


def test_a_metric_and_its_file_share_a_name() -> None:
    import vauban.metrics
    from vauban.metrics.mad import BETA1, mad

    assert BETA1 == 0.467
    assert vauban.metrics.mad is mad
    assert inspect.isfunction(vauban.metrics.mad)
    assert inspect.ismodule(sys.modules["vauban.metrics.mad"])


def test_a_file_without_a_registered_thing_is_there_as_a_module() -> None:
    assert inspect.ismodule(vb.data.dataset)
    assert inspect.ismodule(vb.models.weights)
    assert "weights" not in dir(vb.models)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A package with a face, a registry and one file."""
    folder = tmp_path / "facepkg"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "from vauban.core.face import face\nfrom vauban.core.registry import Registry\n"
        "registry = Registry('thing', 'facepkg')\n"
        "face(__name__, registry, extras={'Helper': 'facepkg.parts:Helper'}, aliases=True)\n"
    )
    (folder / "parts.py").write_text("class Helper: ...\n")
    (folder / "gamma.py").write_text(
        "from facepkg import registry\n\n@registry.register('gamma-rays')\nclass Gamma: ...\n\n"
        "@registry.register('gamma')\ndef gamma(): return 1\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("facepkg")
    for name in [n for n in sys.modules if n.split(".")[0] == "facepkg"]:
        del sys.modules[name]


def test_the_file_behind_a_name() -> None:
    src = ROOT / "src" / "vauban"
    for package, name, file in (
        ("vauban", "margin", "core/losses.py"),
        ("vauban", "attack", "evaluate/attack.py"),
        ("vauban.metrics", "mad", "metrics/mad.py"),
        ("vauban.attacks", "Restarts", "engine/combine.py"),
        ("vauban.threats", "white_box", "threats/access.py"),
        ("vauban.defences", "chain", "defences/compose.py"),
    ):
        assert Path(str(file_of(package, name))) == src / file
    for package, name in (("vauban", "attacks"), ("vauban.metrics", "base"), ("vauban.core", "norms")):
        assert file_of(package, name) is None


def test_a_combinator_goes_by_one_name_whatever_is_imported() -> None:
    assert len(list(vb.attacks.registry)) > 0
    assert registered_as(vb.attacks.Restarts) is None
    assert registered_as(vb.attacks.PGD) == "attack pgd"


def test_a_new_file_adds_to_the_face(package: Any) -> None:
    assert set(sys.modules) & {"facepkg.gamma", "facepkg.parts"} == set()
    assert package.Helper.__name__ == "Helper"
    assert "facepkg.gamma" not in sys.modules  # an extra imports its own file alone
    assert package.gamma() == 1  # the thing, not the file of the same name
    assert dir(package) == ["Gamma", "Helper", "gamma", "gamma_rays", "registry"]
    assert package.Gamma is package.gamma_rays
    with pytest.raises(AttributeError, match="has no attribute 'Delta'; it has Gamma, Helper"):
        _ = package.Delta
    from facepkg import Gamma

    assert Gamma is package.Gamma


@pytest.mark.slow
@pytest.mark.parametrize("name", stubs().FACES)
def test_importing_a_face_loads_no_torch(name: str) -> None:
    code = f"import sys, {name}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_every_kind_is_loaded_by_name() -> None:
    texts = {
        "attack": "ddn:steps=3",
        "criterion": "label-smoothing:share=0.8",
        "data": "digits/test[:4]",
        "defence": "bit-depth:bits=2+jpeg",
        "fitter": "universal:eps=0.1",
        "goal": "targeted:3",
        "key": "public:7",
        "loss": "margin",
        "metric": "ssim",
        "model": "digits-cnn",
        "network_metric": "local-lipschitz:radius=0.1",
        "recipe": "at:attack=[pgd:eps=0.1]+mirror-shift",
        "selection": "best:attack=[pgd:eps=0.1]",
        "threat": "adaptive:eot=2",
    }
    assert set(texts) == set(KINDS)
    for kind, text in texts.items():
        assert vb.load(kind, text) is not None
    short = {"attack": vb.attacks, "data": vb.data, "defence": vb.defences, "metric": vb.metrics, "threat": vb.threats}
    for kind, face in short.items():
        assert face.load is importlib.import_module(f"vauban.words.{kind}").load
    assert vb.attacks.load(texts["attack"]) == vb.attacks.DDN(steps=3)
