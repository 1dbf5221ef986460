"""Certificates of a model on a data set, with the accuracy that attacks leave beside them."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vauban.certificates.job import CertificateJob
from vauban.certificates.results import CertificateResults
from vauban.certificates.words import certificate_of
from vauban.core.answers import check_answerable
from vauban.core.arguments import named_arguments
from vauban.core.cards import rejecting
from vauban.core.contracts import Words
from vauban.core.device import check_device
from vauban.core.errors import ContractError, exits_are_errors
from vauban.core.parameters import Count, check
from vauban.engine.first_answer import first_answer
from vauban.engine.network import quiet
from vauban.jobs import runner
from vauban.jobs.progress import Tell
from vauban.store.certificates import read_certificate
from vauban.store.files import check_output
from vauban.words import data as datasets
from vauban.words.attack import attack_of
from vauban.words.defence import defence_of
from vauban.words.model import model_of, tell_behind
from vauban.words.named import Named
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
        tell: Told of every finished part.

    Returns:
        The rows of each certificate; it prints as a table of certified accuracy against radius.

    Raises:
        UnknownName: A name or a parameter is not known.
        ContractError: What is given does not go together, or nothing can be proved of the network.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary if out is None else out)
        arguments: dict[str, Any] = {
            "model": model,
            "data": data,
            "out": str(folder),
            "defence": defence,
            "attacks": attacks,
            "seed": seed,
            "batch_size": batch_size,
            "device": device,
            "rejects": rejects,
            "root": None if root is None else str(root),
            "download": download,
        }
        several = certificate if isinstance(certificate, (list, tuple)) else [certificate]
        jobs = [certificate_job(certificate=one, **arguments) for one in several]
        if workers > 1 and any(job.origin is None for job in jobs):
            raise ContractError(
                f"expected words for {workers} workers, got objects of this process; name them as file.py:name, or run "
                "with one worker"
            )
        outcomes = runner.run(jobs, runner.executor_of(workers), tell)
        read = tuple(read_certificate(job.folder) for job in jobs)
    return CertificateResults(folder, read, tuple(outcomes))


def certificate_job(
    *,
    certificate: Any,
    model: Any,
    data: Any,
    out: str,
    defence: Any,
    attacks: Any,
    seed: int,
    batch_size: int,
    device: str,
    rejects: bool,
    root: str | None,
    download: bool,
) -> CertificateJob:
    """The job of one certificate, checked before anything is spent; the arguments are those of `certify`."""
    origin = _origin(dict(locals()))
    check("vauban.certify", "seed", seed, int)
    check("vauban.certify", "batch_size", batch_size, Count)
    check_output(Path(out), folder=True)
    check_device(device)
    chosen, behind, network = certificate_of(certificate), defence_of(defence), model_of(model, rejects)
    samples = datasets.load(data, root=root, download=download)
    if behind.value is None:
        raise ContractError(
            "expected a defence by its own name, got 'trained'; write it before the model: 'trained|...'"
        )
    tell_behind(network.name, network.behind)
    if network.recipe and (doubt := chosen.value.doubts(recipe_of(network.recipe))):
        log.warning("%s: %s", network.name, doubt)
    defended = behind.value.wrap(network.value).to(device)
    named = _attacks(chosen, attacks, samples)
    first = samples.take(1).to(device)
    with quiet(list(defended.modules())):
        logits = first_answer(defended, first.x).shape[1]
    check_answerable(samples.y, len(samples), logits, rejecting(defended))
    chosen.value.check(defended, first.x)
    return CertificateJob(
        Path(out), chosen, network, behind, defended, samples, named, seed, batch_size, device, origin
    )


def _attacks(certificate: Named[Any], words: Any, data: Any) -> tuple[Named[Any], ...]:
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


def _origin(arguments: dict[str, Any]) -> Words | None:
    try:
        return Words("vauban.certificates.certify:certificate_job", json.loads(json.dumps(arguments)))
    except TypeError:
        return None
