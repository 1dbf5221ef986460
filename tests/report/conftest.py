"""The synthetic run, loaded by path because test folders are not packages."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest


def _module(name):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def fake_run():
    return _module("fake_run")


@pytest.fixture(scope="session")
def browser_class():
    return _module("browser")


@pytest.fixture(scope="session")
def run_folder(fake_run, tmp_path_factory):
    return fake_run.build(tmp_path_factory.mktemp("run"))
