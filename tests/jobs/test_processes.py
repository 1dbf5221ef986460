"""Worker processes: rows and parts of a serial run bit for bit, also when workers are killed; what cannot be sent."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.jobs.stored_parts import stored_parts
from torch import nn

from vauban.core.errors import ContractError
from vauban.evaluate.study import Study
from vauban.jobs.executors.pool import LIVES
from vauban.jobs.executors.processes import ProcessPool
from vauban.jobs.progress import Progress
from vauban.reproduce import reproduce
from vauban.store import query

NET = '''
import contextlib
import os
import signal
from pathlib import Path
import torch
import torch
from torch import nn

FOLDER = Path(__file__).parent

class Net(nn.Module):
    """Linear and random; at the sixth test image a worker takes one of the files `death-*` and is killed."""

    def __init__(self):
        super().__init__()
        self.register_buffer("w", torch.linspace(-1, 1, 640).sin().view(10, 64))

    def forward(self, x):
        if str(os.getpid()) != (FOLDER / "parent").read_text():
            with (FOLDER / "pids").open("a") as handle:
                handle.write(f"{os.getpid()}\\n")
            marked = (x.flatten(1) - torch.load(FOLDER / "marked.pt")).abs().amax(1) < 1e-6
            for death in sorted(FOLDER.glob("death-*")) if marked.any() else []:
                with contextlib.suppress(FileNotFoundError):  # another process took it
                    death.unlink()
                    os.kill(os.getpid(), signal.SIGKILL)
        return 20 * (x + 0.1 * torch.randn_like(x)).flatten(1) @ self.w.T
'''
SAMPLES = 12


def deaths(net: Path, more: int = 0) -> int:
    """How many deaths are left, after so many more were laid out."""
    for number in range(more):
        (net.parent / f"death-{number}").touch()
    return len(list(net.parent.glob("death-*")))


def study(net: Path, out: str, **more: Any) -> Study:
    words = {
        "data": f"digits/test[:{SAMPLES}]",
        "models": f"{net}:Net",
        "attacks": ["fgsm:eps=0.1", "random-noise:eps=0.2"],
        "batch_size": 4,
        "threats": ["adaptive"],  # which does not look at the network while the study is made
    }
    return Study(net.parent / out, **{**words, **more})


@pytest.mark.slow
def test_rows_are_those_of_a_serial_run_also_when_a_worker_is_killed(net: Path) -> None:
    told: Counter[str] = Counter()
    serial = study(net, "serial").run()
    deaths(net, more=1)

    def tell(progress: Progress) -> None:
        told[progress.work.key] = progress.done
        assert progress.columns is not None
        assert set(progress.columns) == {"success"}

    spread = study(net, "spread").run(tell, workers=2)
    assert deaths(net) == 0
    assert [(o.job.key, o.state) for o in spread] == [(o.job.key, "finished") for o in serial]
    assert told == {o.job.key: SAMPLES for o in serial}
    one, two = stored_parts(net.parent / "serial"), stored_parts(net.parent / "spread")
    assert len(one) == 6
    assert one == two
    assert len(set((net.parent / "pids").read_text().split())) == 3  # two workers and the one in place of the killed
    cells = [query.load(net.parent / out).cells for out in ("serial", "spread")]
    assert [cell.findings for cell in cells[0]] == [cell.findings for cell in cells[1]]


@pytest.mark.slow
def test_a_batch_that_kills_every_worker_is_a_failure_and_the_run_goes_on(net: Path) -> None:
    deaths(net, more=10)
    told: list[int] = []
    (outcome,) = study(net, "killed", attacks=["fgsm:eps=0.1"], preflight=False).run(
        lambda progress: told.append(progress.done), workers=2
    )
    assert (outcome.state, outcome.failures) == ("failed", 1)
    assert deaths(net) == 10 - LIVES
    assert told == [4, 8, 12]
    (cell,) = query.load(net.parent / "killed").cells
    assert cell.columns["id"].tolist() == [0, 1, 2, 3, 8, 9, 10, 11]
    assert [(f["index"], f["error"]) for f in cell.failures] == [
        (1, f"{LIVES} worker processes died over it (killed, or out of memory?)")
    ]


def test_a_study_of_objects_is_refused_before_anything_is_computed(tmp_path: Path) -> None:
    class Untouched(nn.Module):
        def forward(self, x: Any) -> Any:
            raise AssertionError("the network was called")

    objects = Study(tmp_path / "run", data="digits/test[:4]", models=Untouched(), attacks="fgsm:eps=0.1")
    with pytest.raises(
        ContractError, match="expected a study of words for several workers, got one that holds objects"
    ) as e:
        objects.run(workers=2)
    assert "\n" not in str(e.value)
    assert not list((tmp_path / "run").rglob("*.parquet"))


@pytest.mark.slow
def test_a_reproduction_has_the_same_networks_parts_and_numbers(tmp_path: Path) -> None:
    name = f"{Path(__file__).with_name('experiment_for_workers.py')}:small"
    numbers = {}
    for workers in (1, 2):
        told: dict[str, tuple[int, int]] = {}
        folder = reproduce(
            name,
            "smoke",
            tmp_path / str(workers),
            batch_size=5,
            workers=workers,
            progress=lambda what, done, total, told=told: told.__setitem__(what, (done, total)),
        )
        assert told == {
            "training first": (60, 60),
            "training B": (60, 60),
            "crafting": (20, 20),
            "judging": (50, 50),
            "measuring": (20, 20),
        }
        numbers[workers] = json.loads((folder / "reproduction.json").read_text())
    assert numbers[1]["beyond"] == numbers[2]["beyond"]
    assert len(numbers[1]["beyond"]) == 2
    one, two = stored_parts(tmp_path / "1"), stored_parts(tmp_path / "2")
    first, second = (
        {path.name: path.read_bytes() for path in (tmp_path / workers / "networks").glob("*.safetensors")}
        for workers in ("1", "2")
    )
    assert len(first) == 2
    assert first == second
    assert len(one) == 2 * (2 + 5 + 2)  # crafts, judgements with that of the originals, measurements
    assert one == two


def test_a_worker_that_died_idle_ends_no_run() -> None:
    pool = ProcessPool(1, 1, lambda task, done, total: None)
    worker = pool.idle()
    worker.process.kill()
    worker.process.wait()
    worker.send({"words": "x" * 10_000_000})
    with pytest.raises((EOFError, ConnectionResetError)):
        worker.connection.recv()
    pool.close()
    assert worker.connection.closed
