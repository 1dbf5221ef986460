"""Freed memory is kept: counted in page faults, in processes of their own, since the choice holds for a whole process."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

PROGRAM = """
import resource, sys
import torch
from vauban.jobs.allocator import keep_freed
kept = keep_freed() if sys.argv[1] == "keep" else None
network = torch.nn.Sequential(torch.nn.Conv2d(1, 32, 3), torch.nn.ReLU(), torch.nn.Conv2d(32, 64, 3), torch.nn.ReLU())
x = torch.rand(64, 1, 28, 28, requires_grad=True)
for step in range(12):
    if step == 2:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.autograd.grad(network(x).sum(), x)
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def run(how: str, **variables: str) -> tuple[str, int]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how], env=plain | variables, capture_output=True, text=True, check=True
    )
    kept, faults = done.stdout.split()
    return kept, int(faults)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="keeps the freed memory of glibc only")
def test_memory_freed_and_asked_for_again_costs_no_page_faults() -> None:
    """The kernel now and then maps the freed memory of a run in larger pieces: some 60 000 faults become 4 500."""
    kept, faults = run("keep")
    assert kept == "True"
    assert any(4 * faults < run("leave")[1] for _ in range(3))


def test_the_variables_of_the_process_have_precedence() -> None:
    assert run("keep", MALLOC_ARENA_MAX="2")[0] == "False"
