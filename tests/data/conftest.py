import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_root() -> Path:
    """The folder with real MNIST, CIFAR-10 and ImageNet files; tests that need it skip where it is absent."""
    root = Path(os.environ.get("VAUBAN_TEST_DATA") or Path(__file__).parents[2].parent / "shared" / "data")
    if not root.is_dir():
        pytest.skip(f"real data needed: {root} does not exist (set VAUBAN_TEST_DATA)")
    return root
