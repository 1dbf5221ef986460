"""Ray: rows of a serial run bit for bit, also where a worker or the whole run is killed and another executor goes on.

One cluster for all tests of this file, outside the user's folders; where it does not start, twice, they are skipped.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Generator
from pathlib import Path

import pytest
from tests.jobs.stored_parts import stored_parts

from vauban.core.errors import ContractError
from vauban.evaluate.study import Study
from vauban.jobs.executors import ray as executor
from vauban.jobs.progress import Progress
from vauban.store import query

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore"), pytest.mark.xdist_group("ray")]
ray = pytest.importorskip("ray")
NET = '''
import contextlib
import logging
import os
import signal
from pathlib import Path
import torch
from torch import nn

FOLDER = Path(__file__).parent

def worker():
    return str(os.getpid()) != (FOLDER / "parent").read_text()

class Net(nn.Module):
    """Linear and random; at the sixth test image a worker takes the file `death`, if it is there, and is killed."""

    def __init__(self):
        super().__init__()
        self.register_buffer("w", torch.linspace(-1, 1, 640).sin().view(10, 64))
        if worker():
            logging.getLogger("vauban").warning("a network is made in a worker")
            with (FOLDER / "made").open("a") as handle:
                handle.write(f"{os.getpid()}\\n")

    def forward(self, x):
        if worker() and (FOLDER / "death").exists():
            if ((x.flatten(1) - torch.load(FOLDER / "marked.pt")).abs().amax(1) < 1e-6).any():
                (FOLDER / "death").unlink()
                os.kill(os.getpid(), signal.SIGKILL)
        return 20 * (x + 0.1 * torch.randn_like(x)).flatten(1) @ self.w.T
'''
BATCH, SAMPLES = 2, 16


@pytest.fixture(scope="module")
def cluster() -> Generator[None]:
    """A local cluster with two CPUs, in a folder of its own with a short name, as a socket needs."""
    folder = Path(tempfile.mkdtemp(prefix="vauban-ray-", dir="/tmp"))
    before = dict(os.environ)
    os.environ |= {"RAY_TMPDIR": str(folder), "RAY_AUTH_MODE": "disabled"}
    try:
        for last in (False, True):
            try:
                executor.connect(executor.LOCAL, 2)
                break
            except ContractError as error:
                if last:
                    pytest.skip(f"Ray did not start, twice: {error}")
        yield
    finally:
        ray.shutdown()
        os.environ.clear()
        os.environ.update(before)
        shutil.rmtree(folder, ignore_errors=True)


def study(net: Path, out: str) -> Study:
    return Study(
        net.parent / out,
        data=f"digits/test[:{SAMPLES}]",
        models=f"{net}:Net",
        attacks=["fgsm:eps=0.1", "random-noise:eps=0.2"],
        batch_size=BATCH,
        threats=["adaptive"],  # which does not look at the network while the study is made
    )


def interrupted(net: Path, out: str, by: str, after: int) -> None:
    """A run that is interrupted while its workers are at work, when some parts are done and nobody is to die any more."""

    def tell(progress: Progress) -> None:
        told.append(progress)
        if len(told) >= after and not (net.parent / "death").exists():
            raise KeyboardInterrupt

    told: list[Progress] = []
    with pytest.raises(KeyboardInterrupt):
        study(net, out).run(tell, executor=by)


def makers(net: Path) -> Counter[str]:
    """How often each worker made the network."""
    return Counter((net.parent / "made").read_text().split())


def test_a_run_that_is_killed_here_and_there_ends_with_the_rows_of_a_serial_one(
    cluster: None, net: Path, caplog: pytest.LogCaptureFixture
) -> None:
    serial = study(net, "serial").run(progress=False)
    interrupted(net, "out", "serial", after=1)
    assert len(stored_parts(net.parent / "out")) == 1
    (net.parent / "death").touch()
    interrupted(net, "out", "ray:workers=2", after=7)
    assert 7 <= len(stored_parts(net.parent / "out")) < 16
    assert set(makers(net).values()) == {1}  # each worker made it once, for all batches of both cells
    assert 2 <= len(makers(net)) <= 3  # the killed one, the one in its place, and the other unless it came too late
    assert "a network is made in a worker" in caplog.messages
    done = study(net, "out").run(progress=False, executor="processes:workers=1")
    assert [(o.job.key, o.state) for o in done] == [(o.job.key, "finished") for o in serial]
    assert stored_parts(net.parent / "out") == stored_parts(net.parent / "serial")
    cells = [query.load(net.parent / out).cells for out in ("serial", "out")]
    assert [cell.findings for cell in cells[0]] == [cell.findings for cell in cells[1]]


def test_a_run_ends_at_a_signal_as_it_does_without_ray(cluster: None) -> None:
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL  # Ray's own ends it as if a network had called sys.exit


def test_more_workers_than_there_is_room_for_are_refused_in_one_line(cluster: None, net: Path) -> None:
    with pytest.raises(ContractError, match="expected room for 9 workers of 100 CPU each in the Ray cluster, got") as e:
        study(net, "out").run(executor="ray:workers=9,threads=100")
    assert "\n" not in str(e.value)
    assert not list((net.parent / "out").rglob("*.parquet"))
    with pytest.raises(ContractError, match="expected room for 1 worker of 1 CPU and 1 GPU each"):
        study(net, "out").run(executor="ray:gpus=1")
