"""Metrics of a network on a data set: their job, and what a notebook and the command line call."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from vauban.core.answers import check_answerable
from vauban.core.arguments import named_arguments
from vauban.core.cards import rejecting
from vauban.core.device import check_device
from vauban.core.errors import ContractError, exits_are_errors
from vauban.core.parameters import Count, check
from vauban.engine.first_answer import first_answer
from vauban.engine.network import quiet
from vauban.evaluate.batch_size import automatic_batch_size
from vauban.evaluate.measure_job import NetworkMetricJob
from vauban.evaluate.measurements import Measurements
from vauban.jobs import runner
from vauban.jobs.progress import Tell
from vauban.store.files import check_output
from vauban.words import data as datasets
from vauban.words.attack import attack_of
from vauban.words.defence import defence_of
from vauban.words.model import model_of, tell_behind
from vauban.words.named import Named
from vauban.words.network_metric import network_metric_of


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
        tell: Told of every finished part.

    Returns:
        The values of each metric; it prints as a table of means.

    Raises:
        UnknownName: A name or a parameter is not known.
        ContractError: What is given does not go together; a metric of an attack's images without an attack.
    """
    check("vauban.measure", "seed", seed, int)
    check_device(device)
    samples, named, behind = (
        datasets.load(data, root=root, download=download),
        model_of(model, rejects),
        defence_of(defence),
    )
    size = automatic_batch_size(samples) if batch_size is None else batch_size
    check("vauban.measure", "batch_size", size, Count)
    if behind.value is None:
        raise ContractError(
            "expected a defence by its own name, got 'trained'; write it before the model: 'trained|...'"
        )
    tell_behind(named.name, named.behind)
    network = behind.value.wrap(named.value).to(device)
    with quiet(list(network.modules())):
        logits = first_answer(network, samples.take(1).to(device).x).shape[1]
    check_answerable(samples.y, len(samples), logits, rejecting(network))
    chosen = [
        network_metric_of(word, root, download)
        for word in (metrics if isinstance(metrics, (list, tuple)) else [metrics])
    ]
    made = None if attack is None else attack_of(attack, samples)
    if made is None and (needy := [metric.name for metric in chosen if metric.value.attacked]):
        raise ContractError(f"expected an attack for {needy[0]}, which says something of its images; add attack='ddn'")
    name = named.name if behind.name == "none" else f"{named.name} behind {behind.name}"
    whole = Named(name, network, (*named.files, *behind.files))
    if out is not None:
        check_output(Path(out), folder=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary if out is None else out)
        jobs = [NetworkMetricJob(folder, metric, whole, samples, made, seed, size, device) for metric in chosen]
        outcomes = runner.run(jobs, None, tell)
        rows = [job.rows for job in jobs]
    return Measurements.of(name, [(metric.name, metric.value.unit) for metric in chosen], rows, tuple(outcomes))
