"""Metrics of a network on a data set: their job, and what a notebook and the command line call."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from vauban.core.arguments import named_arguments
from vauban.core.errors import ContractError, exits_are_errors
from vauban.core.parameters import Count, check
from vauban.evaluate.batch_size import automatic_batch_size
from vauban.evaluate.measure_job import NetworkMetricJob
from vauban.evaluate.measurements import Measurements
from vauban.jobs.executor_words import check_folder, executor_of
from vauban.jobs.executors import Executor
from vauban.jobs.progress import Tell
from vauban.jobs.recall import words_of
from vauban.jobs.rows_job import run_all
from vauban.jobs.shard import Shard
from vauban.store.files import check_output
from vauban.words.attack import attack_of
from vauban.words.named import Named
from vauban.words.network_metric import network_metric_of
from vauban.words.opened import OpenedNetwork, open_network


@named_arguments
@exits_are_errors()
def measure(
    metrics: Any,
    model: Any,
    data: Any,
    out: str | Path | None = None,
    *,
    defence: Any = "none",
    attack: Any = None,
    seed: int = 0,
    batch_size: int | None = None,
    device: str = "cpu",
    rejects: bool = False,
    root: str | Path | None = None,
    download: bool = False,
    workers: int = 1,
    executor: Executor | str | None = None,
    shard: Shard | str | None = None,
    tell: Tell | None = None,
) -> Measurements:
    """Metrics of a network on the images of a data set, or on what an attack makes of them.

    Args:
        metrics: One of `vauban.metrics.network_registry` or its name (`local-lipschitz:radius=0.1`), or several.
        model: A module, or its name.
        data: A data set or its name, and what else `vauban.data.load` takes.
        out: A run directory, in which rows are kept and not made again; None: in memory alone.
        defence: What stands in front of the model.
        attack: Makes the images, with everything known to it; None: the metrics are on the images themselves.
        seed: Of every random number.
        batch_size: Images of a part; None chooses one from the image size.
        device: Where to compute.
        rejects: The last logit of the model means 'rejected'.
        root: Folder of the data sets.
        download: Whether torchvision may fetch data that is missing.
        workers: Processes over which the parts are spread; more than one need words.
        executor: Where parts are computed, in place of a number of processes: `ray:address=auto,gpus=1`, see
            [scale](scale.md).
        shard: `2/8` for the second of eight processes that share the work, each with its own parts; None: all parts.
        tell: Told of every finished part.

    Returns:
        The values of each metric; it prints as a table of means.

    Raises:
        UnknownName: A name or a parameter is not known.
        ContractError: What is given does not go together; a metric of an attack's images without an attack.
    """
    check("vauban.measure", "seed", seed, int)
    if isinstance(metrics, (list, tuple)) and not metrics:
        raise ContractError("expected at least one metric, got none; vauban list network-metrics names them")
    chosen, mine = executor_of(executor, workers), Shard.read(shard)
    check_folder(chosen, mine, out, "measure")
    if out is not None:
        check_output(Path(out), folder=True)
    given = {"defence": defence, "device": device, "rejects": rejects, "download": download}
    given["root"] = None if root is None else str(root)
    opened = open_network(model, data, **given)
    size = automatic_batch_size(opened.data) if batch_size is None else batch_size
    check("vauban.measure", "batch_size", size, Count)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary if out is None else out)
        settings = {"attack": attack, "out": str(folder), "seed": seed, "batch_size": size}
        jobs = []
        for metric in metrics if isinstance(metrics, (list, tuple)) else [metrics]:
            words = {"metric": metric, "model": model, "data": data, **settings, **given}
            job = _job(network_metric_of(metric, root, download), opened, **settings)
            jobs.append(replace(job, origin=words_of("vauban.evaluate.measure:measure_job", words)))
        outcomes = run_all(jobs, chosen, tell, mine)
        rows = tuple(job.read() for job in jobs)
    return Measurements(folder, rows, outcomes)


def measure_job(
    *, metric: str, model: str, data: Any, attack: Any, out: str, seed: int, batch_size: int, **given: Any
) -> NetworkMetricJob:
    """The job of one metric from words; the arguments are those of `measure`, `given` those of `open_network`."""
    opened = open_network(model, data, **given)
    return _job(
        network_metric_of(metric, given["root"], given["download"]),
        opened,
        attack=attack,
        out=out,
        seed=seed,
        batch_size=batch_size,
    )


def _job(
    metric: Named[Any], opened: OpenedNetwork, *, attack: Any, out: str, seed: int, batch_size: int
) -> NetworkMetricJob:
    made = None if attack is None else attack_of(attack, opened.data)
    if made is None and metric.value.attacked:
        raise ContractError(
            f"expected an attack for {metric.name}, which says something of its images; add attack='ddn'"
        )
    return NetworkMetricJob(run=Path(out), opened=opened, metric=metric, attack=made, seed=seed, batch_size=batch_size)
