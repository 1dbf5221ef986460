"""The file of a network that kills its worker, for the tests of executors."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from vauban import data


@pytest.fixture
def net(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """The file of the network, `NET` of the test's module, with the marked image and this process's number beside it."""
    (tmp_path / "net.py").write_text(request.module.NET)
    (tmp_path / "parent").write_text(str(os.getpid()))
    torch.save(data.load("digits/test[5:6]").all().x.flatten(), tmp_path / "marked.pt")
    return tmp_path / "net.py"
