"""Modules of users' files: what a file imports from beside it is its own folder's, whatever other folders call theirs."""

from __future__ import annotations

import builtins
import hashlib
import importlib
import importlib.util
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

from vauban.store.files import digest_of
from vauban.store.sources import PACKAGE

INSTALLED = frozenset({"site-packages", "dist-packages"})
"""Names of the folders where packages are installed."""
STANDARD = Path(sysconfig.get_path("stdlib")).resolve()
"""The standard library, which is below a user's folder too where its environment is conda's."""
_FOLDERS: dict[Path, list[Folder]] = {}
"""The states of each folder that files were taken from, the present one last."""
_BY_PACKAGE: dict[str, Folder] = {}


@dataclass(eq=False)
class Folder:
    """A user's folder in one state of its files; `package` holds the modules beside the files that are loaded from it.

    Attributes:
        path: The folder.
        package: The package's name, of no other folder and no other state.
        read: The digests of the files that were imported.
    """

    path: Path
    package: str
    read: dict[Path, str] = field(default_factory=dict)

    def holds(self, name: str) -> bool:
        """Whether `import name` in a file of the folder means one beside it.

        One that the process itself has imported stays the same module; a mere folder is asked after all packages.
        """
        if name == PACKAGE.name:
            return False
        loaded = sys.modules.get(name)
        if loaded is not None and (name in sys.stdlib_module_names or self._mine(loaded)):
            return False
        if (self.path / f"{name}.py").is_file() or (self.path / name / "__init__.py").is_file():
            return True
        return (self.path / name).is_dir() and _nowhere(name)

    def _mine(self, module: ModuleType) -> bool:
        """Whether a module is of the folder, and not of a place for packages below it, as a virtual environment is."""
        name, file = module.__name__, getattr(module, "__file__", None)
        if file is None or name.partition(".")[0] == PACKAGE.name:
            return False
        path = Path(file).resolve()
        return path.is_relative_to(self.path) and not any(
            path.is_relative_to(place) for place in _places_below(self.path, tuple(sys.path))
        )

    def take(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """`__import__` of the folder's files."""
        top = name.partition(".")[0]
        if level or not self.holds(top):
            return __import__(name, globals, locals, fromlist or (), level)
        try:
            module = __import__(f"{self.package}.{name}", globals, locals, fromlist or (), 0)
        except ModuleNotFoundError as error:
            if error.name is None or not error.name.startswith(self.package):
                raise
            absent = error.name.removeprefix(f"{self.package}.")
            raise ModuleNotFoundError(f"No module named {absent!r}", name=absent) from None
        return module if fromlist else sys.modules[f"{self.package}.{top}"]

    def run(self, module: ModuleType, path: Path) -> None:
        """Execute a file as a module of the folder; always from the source, so that an edit is never missed."""
        vars(module)["__builtins__"] = {**vars(builtins), "__import__": self.take}
        exec(compile(path.read_bytes(), str(path), "exec", dont_inherit=True), vars(module))

    @contextmanager
    def on_path(self) -> Iterator[None]:
        """A time in which modules that are imported by other means than `import` are found too, and not left behind."""
        before, place = set(sys.modules), str(self.path)
        sys.path.insert(0, place)
        try:
            yield
        finally:
            sys.path.remove(place)
            for name in set(sys.modules) - before:
                if not name.startswith(("vauban_folder_", "vauban_user_")) and self._mine(sys.modules[name]):
                    self._left(name)

    def _left(self, name: str) -> None:
        """Take a module from those of the process."""
        module = sys.modules.pop(name)
        self.read[Path(str(module.__file__)).resolve()] = digest_of(Path(str(module.__file__)))

    @property
    def current(self) -> bool:
        """Whether the files are still those that were imported."""
        return all(file.is_file() and digest_of(file) == digest for file, digest in self.read.items())


class Loader(SourceFileLoader):
    """Loader of the files beside a user's file."""

    def exec_module(self, module: ModuleType) -> None:
        folder, path = _BY_PACKAGE[module.__name__.partition(".")[0]], Path(self.path)
        folder.read[path] = digest_of(path)
        folder.run(module, path)


class Finder:
    """Finder of these files, below the packages of their folders."""

    @staticmethod
    def find_spec(fullname: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """As `importlib.abc.MetaPathFinder` has it."""
        if fullname.partition(".")[0] not in _BY_PACKAGE:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = Loader(fullname, spec.loader.path)
        return spec


sys.meta_path.insert(0, Finder)


def folder_of(file: Path) -> Folder:
    """The folder of a user's file, in the present state of what was imported from it."""
    path = file.resolve().parent
    states = _FOLDERS.setdefault(path, [])
    if not states or not states[-1].current:
        number = hashlib.sha256(f"{path} {len(states)}".encode()).hexdigest()[:12]
        folder = Folder(path, f"vauban_folder_{number}")
        package = ModuleType(folder.package)
        package.__path__ = [str(path)]
        sys.modules[folder.package] = package
        _BY_PACKAGE[folder.package] = folder
        states.append(folder)
    return states[-1]


def folders_above(file: Path) -> list[Path]:
    """The folders, the nearest first, that a file was or may have been imported from."""
    return [folder for folder in file.parents if folder in _FOLDERS]


@cache
def _places_below(folder: Path, searched: tuple[str, ...]) -> tuple[Path, ...]:
    """The places below a folder where Python looks for installed modules, those of a virtual environment.

    Other places there, such as a `lib` that a file itself adds, hold the user's own modules, like those beside it.
    """
    places = [Path(place).resolve() for place in searched]
    return tuple(
        place
        for place in places
        if place != folder
        and place.is_relative_to(folder)
        and (place.name in INSTALLED or place.is_relative_to(STANDARD))
    )


def _nowhere(name: str) -> bool:
    """Whether no package or module has a name, but mere folders."""
    try:
        spec = importlib.util.find_spec(name)
    except ValueError:  # a module without a spec
        return False
    return spec is None or spec.origin is None
