"""Certificates of a model on a data set, with the accuracy that attacks leave beside them."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from vauban.certificates.base import Certificate
from vauban.certificates.job import CertificateJob
from vauban.certificates.results import CertificateResults
from vauban.certificates.words import certificate_of
from vauban.core.arguments import named_arguments
from vauban.core.errors import ContractError, VaubanError, exits_are_errors
from vauban.core.parameters import Count, check
from vauban.core.text import joined
from vauban.engine import Attack
from vauban.jobs.executor_words import check_folder, executor_of
from vauban.jobs.executors import Executor
from vauban.jobs.progress import Tell
from vauban.jobs.recall import words_of
from vauban.jobs.rows_job import run_all
from vauban.jobs.shard import Shard
from vauban.store.files import check_output
from vauban.store.query import load
from vauban.training.recipe import Recipe, RecipePart
from vauban.words.attack import attack_of
from vauban.words.named import Named
from vauban.words.opened import OpenedNetwork, open_network
from vauban.words.recipe import recipe_of

log = logging.getLogger("vauban")
BATCH = 32  # a kill loses at most so many images


@named_arguments
@exits_are_errors()
def certify(
    certificate: Any,
    model: Any,
    data: Any,
    out: str | Path | None = None,
    *,
    defence: Any = "none",
    attacks: Any = None,
    seed: int = 0,
    batch_size: int = BATCH,
    device: str = "cpu",
    rejects: bool = False,
    root: str | Path | None = None,
    download: bool = False,
    workers: int = 1,
    executor: Executor | str | None = None,
    shard: Shard | str | None = None,
    tell: Tell | None = None,
) -> CertificateResults:
    """Bound, for each image, the change below which the answer stays the same, and attack what is bounded.

    Args:
        certificate: One of `vauban.certificates` or its name (`smoothing:sigma=0.25`), or several.
        model: A module, or its name: `digits-cnn`, `jpeg|digits-cnn`.
        data: A data set or its name, a pair (x, y), and what else `vauban.data.load` takes.
        out: The run directory; what is stored there is not made again. None: rows are kept in memory alone.
        defence: What stands in front of the model, and is certified with it.
        attacks: What the empirical curve is made with, in the norm of the certificate; None takes the certificate's own, an
            empty list none.
        seed: Of every random number.
        batch_size: Images of a part.
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
        The rows of each certificate; it prints as a table of certified accuracy against radius.

    Raises:
        UnknownName: A name or a parameter is not known.
        ContractError: What is given does not go together, or nothing can be proved of the network.
    """
    check("vauban.certify", "seed", seed, int)
    if isinstance(certificate, (list, tuple)) and not certificate:
        raise ContractError("expected at least one certificate, got none; vauban list certificates names them")
    check("vauban.certify", "batch_size", batch_size, Count)
    chosen, mine = executor_of(executor, workers), Shard.read(shard)
    check_folder(chosen, mine, out, "certify")
    if out is not None:
        check_output(Path(out), folder=True)
    given = {"defence": defence, "device": device, "rejects": rejects, "download": download}
    given["root"] = None if root is None else str(root)
    opened = open_network(model, data, **given)
    several = certificate if isinstance(certificate, (list, tuple)) else [certificate]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary if out is None else out)
        settings = {"attacks": attacks, "out": str(folder), "seed": seed, "batch_size": batch_size}
        jobs = []
        for one in several:
            words = {"certificate": one, "model": model, "data": data, **settings, **given}
            job = _job(certificate_of(one), opened, **settings)
            jobs.append(replace(job, origin=words_of("vauban.certificates.certify:certificate_job", words)))
        outcomes = run_all(jobs, chosen, tell, mine)
        read = tuple(job.read() for job in jobs)
        cells = [] if out is None else load(folder, pictures=False).cells
    return CertificateResults(folder, read, outcomes, cells)


def certificate_job(
    *, certificate: str, model: str, data: Any, attacks: Any, out: str, seed: int, batch_size: int, **given: Any
) -> CertificateJob:
    """The job of one certificate from words; the arguments are those of `certify`, `given` those of `open_network`."""
    opened = open_network(model, data, **given)
    return _job(certificate_of(certificate), opened, attacks=attacks, out=out, seed=seed, batch_size=batch_size)


def _job(
    chosen: Named[Certificate], opened: OpenedNetwork, *, attacks: Any, out: str, seed: int, batch_size: int
) -> CertificateJob:
    model = opened.model
    if model.recipe and (doubt := chosen.value.doubts(_readable(model.recipe))):
        log.warning("%s: %s", model.name, doubt)
    named = _attacks(chosen, attacks, opened.data)
    chosen.value.check(opened.defended, opened.data.take(1).to(opened.device).x)
    return CertificateJob(
        run=Path(out), opened=opened, certificate=chosen, attacks=named, seed=seed, batch_size=batch_size
    )


def _readable(recipe: str) -> Recipe:
    """The parts of a recipe that can be made again here: not a teacher whose file is gone, nor an attack without eps."""
    parts: list[RecipePart] = []
    for text in joined(recipe):
        with suppress(VaubanError):
            parts += recipe_of(text).parts
    return Recipe(tuple(parts))


def _attacks(certificate: Named[Certificate], words: Any, data: Any) -> tuple[Named[Attack], ...]:
    given: Sequence[Any] = certificate.value.attacks if words is None else words
    given = [given] if isinstance(given, str) or not isinstance(given, Sequence) else given
    named = tuple(attack_of(word, data) for word in given)
    norm = certificate.value.norm
    for attack in named:
        if attack.value.norm != norm:
            raise ContractError(
                f"expected attacks in {norm.name}, the norm of {certificate.name}, got {attack.name} in "
                f"{attack.value.norm.name}; write norm={norm.name}"
            )
    return named
