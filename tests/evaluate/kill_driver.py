"""Run by test_kill_and_resume in a process of its own: runs studies in forked children and kills them with SIGKILL."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from vauban import data
from vauban.data.digits import pixels_and_labels
from vauban.evaluate.study import Study
from vauban.jobs.progress import Progress
from vauban.store import files
from vauban.store.parquet import Store

BATCH, SAMPLES = 4, 24


class Means(nn.Module):
    """Nearest class mean on the digits; `nap` seconds per call."""

    def __init__(self, nap: float = 0.0) -> None:
        super().__init__()
        x, y = pixels_and_labels("train")
        flat = x.flatten(1).float() / 255
        self.register_buffer("means", torch.stack([flat[y == k].mean(0) for k in range(10)]))
        self._nap = [nap]

    def forward(self, x: Tensor) -> Tensor:
        time.sleep(self._nap[0])
        return 20 * (x.flatten(1) @ self.means.T - self.means.square().sum(1) / 2)


def child(work: Callable[[], None]) -> int:
    """Run `work` in a forked child; its process id."""
    pid = os.fork()
    if pid:
        return pid
    try:
        work()
    except BaseException as error:  # the child must never return into the parent's code
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
        os._exit(1)
    os._exit(0)


NET, SLOW, DATA = Means(), Means(0.01), data.load(f"digits/test[:{SAMPLES}]")  # made once, before the forks


def study(out: Path, net: nn.Module = NET) -> Study:
    return Study(
        out, data=DATA, models={"means": net}, attacks=["pgd:steps=3,eps=0.1"], batch_size=BATCH, preflight=False
    )


def parts(out: Path) -> list[int]:
    return sorted(i for cell in Store(out).cells() for i in cell.parts())


def kill_at(out: Path, fsync: int | None = None, after: int | None = None) -> dict[str, object]:
    """Die at the given call of fsync, or when the progress of the given batch is reported; then run to the end."""
    told, done = out.with_suffix(".told"), out.with_suffix(".done")

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def work() -> None:
        calls, real = [0], os.fsync

        def fsync_or_die(handle: int) -> None:
            calls[0] += 1
            if calls[0] == fsync:
                die()
            real(handle)

        files.os.fsync = fsync_or_die

        def tell(progress: Progress) -> None:
            with told.open("a") as handle:
                handle.write(f"{progress.done}\n")
            if progress.done == after:
                die()

        study(out).run(tell)

    _, status = os.waitpid(child(work), 0)
    before = parts(out) if out.exists() else []
    seen = len(told.read_text().split()) if told.exists() else 0

    def resume() -> None:
        ran: list[int] = []
        study(out).run(lambda p: ran.append((p.done - 1) // BATCH) if p.columns is not None else None)
        done.write_text(json.dumps(ran))

    _, resumed = os.waitpid(child(resume), 0)
    return {
        "out": str(out),
        "killed": os.WIFSIGNALED(status),
        "before": before,
        "reported": seen,
        "resumed": resumed,
        "ran": json.loads(done.read_text()) if done.exists() else None,
    }


def calls_of_fsync(out: Path) -> int:
    """How often a whole run calls fsync."""
    told, real, calls = out.with_suffix(".calls"), os.fsync, [0]

    def counted(handle: int) -> None:
        calls[0] += 1
        real(handle)

    def work() -> None:
        files.os.fsync = counted
        study(out).run()
        told.write_text(str(calls[0]))

    os.waitpid(child(work), 0)
    return int(told.read_text())


def together(out: Path) -> list[int]:
    """Two processes on one directory, with a model slow enough that they overlap; their exit states."""
    pids = [child(lambda: study(out, SLOW).run() and None) for _ in range(2)]
    return [os.waitpid(pid, 0)[1] for pid in pids]


def main() -> None:
    root = Path(sys.argv[1])
    torch.set_num_threads(1)
    study(root / "warm").run()  # imports and caches, which every child would fill again
    calls = calls_of_fsync(root / "whole")
    moments = [("fsync", n) for n in range(1, calls + 1, max(1, calls // 10))] + [
        ("after", n) for n in (BATCH, 3 * BATCH, SAMPLES)
    ]
    runs = [kill_at(root / f"{kind}-{n}", **{kind: n}) for kind, n in moments]
    print(json.dumps({"runs": runs, "together": together(root / "together")}))


if __name__ == "__main__":
    main()
