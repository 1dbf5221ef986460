"""Ray executor: tasks spread over actors of a Ray cluster, on this machine or on several that see the same files."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from vauban.core.errors import ContractError, check_installed, plural
from vauban.core.parameters import Count, NonNegative
from vauban.jobs.executors import registry
from vauban.jobs.executors.pool import LIVES, Answer, Pool, RemoteExecutor, RemoteWorker, Tell

log = logging.getLogger("vauban")
LOCAL = "local"
STORE = 100 * 2**20  # bytes of a local cluster's object store, through which only words go
TRAVELS = ("VAUBAN_DATA",)  # variables that a worker takes over; those that hold keys stay where they are


@registry.register("ray")
@dataclass(frozen=True)
class Ray(RemoteExecutor):
    """Actors of a Ray cluster, each with a part of a node for itself.

    Attributes:
        address: `local` starts a cluster on this machine, which lasts as long as this process; `auto` finds the one that
            this node is in; else host:port.
        workers: Number of actors; None: as many as there is room for.
        gpus: GPUs of each; a share such as 0.5 lets several use one. Needed beside `--device cuda`.
        threads: CPUs of each, and its threads for the parts of jobs. An artefact is made with as many threads as this
            process has.

    Raises:
        MissingExtra: Ray is not installed.
        ContractError: The address is that of a Ray client.
    """

    address: str = LOCAL
    workers: Count | None = None
    gpus: NonNegative = 0
    threads: Count = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_installed("ray", "ray", "the executor 'ray'")
        if "://" in self.address:
            raise ContractError(
                f"expected the address of a Ray cluster as auto or host:port, got {self.address}; start the command on a "
                "node of the cluster"
            )

    @property
    def elsewhere(self) -> bool:
        return self.address != LOCAL

    def pool(self, tell: Tell) -> ActorPool:
        """The workers.

        Raises:
            ContractError: There is no such cluster, or no room for the workers in it.
        """
        connect(self.address, (self.workers or 1) * self.threads)
        return ActorPool(self._size(), self.threads, tell, gpus=self.gpus)

    def _size(self) -> int:
        import ray

        total: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        needs = {"CPU": self.threads, **({"GPU": self.gpus} if self.gpus else {})}
        room = min(int(total.get(name, 0) / number + 1e-9) for name, number in needs.items())
        if room < (self.workers or 1):
            each = " and ".join(f"{number:g} {name}" for name, number in needs.items())
            there = " and ".join(f"{total.get(name, 0):g} {name}" for name in needs)
            raise ContractError(
                f"expected room for {plural(self.workers or 1, 'worker')} of {each} each in the Ray cluster, got {there} "
                "in all; ask for fewer, or start more nodes"
            )
        return self.workers or room


def connect(address: str, cpus: int) -> None:
    """Have this process in a cluster; one that it is in already is kept. Raises ContractError where there is none."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    if ray.is_initialized():
        return
    given: dict[str, Any] = {"address": address, "log_to_driver": False, "logging_level": logging.ERROR}
    if address == LOCAL:
        cpus = max(cpus, os.cpu_count() or 1)
        given |= {"num_cpus": cpus, "include_dashboard": False, "object_store_memory": STORE}
    ended_by = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(**given)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, ended_by)  # Ray's handler would end a run as if a network had called sys.exit
    except Exception as error:  # of many kinds: no cluster, a version that differs, a start that took too long
        ray.shutdown()
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        hint = "try again" if address == LOCAL else "start one with ray start --head, or leave the address out"
        raise ContractError(f"expected a Ray cluster at the address {address}, got none: {reason}; {hint}") from error


@dataclass(eq=False)
class Actor(RemoteWorker):
    """An actor, and the stream of what it says.

    Attributes:
        handle: The actor.
        started: Given when it has started; None afterwards.
    """

    handle: Any
    started: Any
    stream: Any = None

    @property
    def awaited(self) -> Any:
        """What it is to say next: that it has started, or an answer; None while it idles."""
        return self.started if self.started is not None else None if self.unit is None else self.stream

    def send(self, asked: Mapping[str, Any]) -> None:
        self.stream = self.handle.perform.options(num_returns="streaming").remote(asked)

    def end(self) -> None:
        import ray

        ray.kill(self.handle)


@dataclass(eq=False)
class ActorPool(Pool[Actor]):
    """Actors that are started together; one is given units once it has started, so that none waits for a full node."""

    gpus: float = 0
    failed_starts: int = field(default=0, init=False)

    def free(self) -> bool:
        while len(self.workers) < self.size:
            self.workers.append(self._start())
        return any(worker.unit is None and worker.started is None for worker in self.workers)

    def idle(self) -> Actor:
        return next(worker for worker in self.workers if worker.unit is None and worker.started is None)

    def _start(self) -> Actor:
        import ray

        paths = list(dict.fromkeys(path for path in sys.path if path))
        environment = {name: os.environ[name] for name in TRAVELS if name in os.environ}
        made: Any = ray.remote(_actor_class()).options(num_cpus=self.threads, num_gpus=self.gpus, max_restarts=0)
        handle = made.remote(os.getcwd(), paths, environment)
        return Actor(handle, handle.started.remote())

    def answers(self) -> Iterator[tuple[Actor, Answer | None]]:
        import ray

        waited = [worker for worker in self.workers if worker.awaited is not None]
        ready, _ = ray.wait([worker.awaited for worker in waited], num_returns=1)
        for worker in [worker for worker in waited if any(worker.awaited is said for said in ready)]:
            try:
                answer = ray.get(worker.awaited if worker.started is not None else next(worker.stream))
            except ray.exceptions.RayTaskError as error:
                raise ContractError(f"a Ray worker failed: {str(error.cause).strip()}") from error
            except ray.exceptions.RayError as error:
                self._tell_start(worker, error)
                answer = None
            if worker.started is not None and answer is not None:
                worker.started = None
            else:
                yield worker, answer

    def _tell_start(self, worker: Actor, error: Exception) -> None:
        """Count workers that died before they had started. Raises ContractError after several."""
        self.failed_starts += worker.started is not None
        if self.failed_starts >= LIVES:
            reason = " ".join(str(error).split())
            raise ContractError(
                f"{LIVES} Ray workers could not start: {reason}; every node needs vauban, the folder {os.getcwd()}, and "
                "the same files"
            ) from error

    def close(self) -> None:
        for worker in self.workers:
            worker.end()


def _actor_class() -> type:
    """The class of the actors; made in a function, so that its code travels and finds vauban on the paths it is given."""

    class VaubanWorker:
        def __init__(self, folder: str, paths: list[str], environment: dict[str, str]) -> None:
            import os
            import sys

            sys.path[:0] = [path for path in paths if path not in sys.path]
            os.chdir(folder)
            from vauban.jobs.executors.ray_worker import ActorWorker

            self.worker = ActorWorker(environment)

        def started(self) -> bool:
            return True

        def perform(self, asked: Mapping[str, Any]) -> Any:
            yield from self.worker.perform(asked)

    return VaubanWorker
