"""A study: models x defences x threats x attacks on one data set, in a directory that can be resumed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

from torch import nn

from vauban.core.arguments import named_arguments
from vauban.core.arithmetic import check_precision
from vauban.core.device import check_device
from vauban.core.errors import ContractError, QueriesSpent, VaubanError, exits_are_errors
from vauban.core.goals import Goal
from vauban.core.parameters import Count, Whole, check
from vauban.evaluate.adaptation.search import Adaptation
from vauban.evaluate.attackers_means import RunMeans
from vauban.evaluate.batch_size import automatic_batch_size, is_searched, searched_batch_size
from vauban.evaluate.cell import Cell
from vauban.evaluate.own_labels import own_labels
from vauban.evaluate.plan import check_fit, each_once, make_cells, named_in, tell_lacking
from vauban.evaluate.progress_lines import progress_lines
from vauban.evaluate.queries import ExpectedQueries, count_in, drifts, expected
from vauban.evaluate.results import StudyResults
from vauban.evaluate.settings import Settings
from vauban.evaluate.study_run import StudyRun
from vauban.evaluate.study_words import Reader, as_words, further_metrics, named, with_defences
from vauban.jobs.executor_words import check_words, executor_of
from vauban.jobs.executors import Executor
from vauban.jobs.progress import Tell
from vauban.jobs.shard import Shard
from vauban.store.files import check_output
from vauban.store.parquet import Store
from vauban.store.query_ledger import QueryLedger
from vauban.words import data as datasets
from vauban.words.attack import attack_of
from vauban.words.defence import defence_of
from vauban.words.model import model_of
from vauban.words.named import Named
from vauban.words.named_files import named_files
from vauban.words.threat import threat_of

log = logging.getLogger("vauban")


class Study:
    """Every attack against every model behind every defence under every threat, on one data set.

    Models, defences, threats and attacks are names, `file.py:name` or objects, one or several; a mapping gives names to
    objects.

    Args:
        out: The run directory.
        data: A name, a `Dataset`, a `DataLoader`, a torch data set or a pair (x, y), see `vauban.data.from_torch`.
        models: The networks; `DEFENCE|MODEL` is one behind a defence of its own, `name=MODEL` names one.
        attacks: The attacks.
        defences: What stands in front of each model.
        threats: What the attacker may see; None: white-box, and adaptive where a defence's card prescribes more.
        goal: What the attacker wants.
        labels: "own" replaces the labels by each model's own answers.
        rejects: The last logit of every model means 'rejected', for models without a card that says so.
        seed: Of every random number.
        batch_size: Samples of a batch, part of a cell's identity; None chooses one from the image size.
        device: Where the networks are.
        levels: Pixel levels to which images are rounded; "data" takes those of the data, None does not round.
        budget: Forward passes per sample; None: no bound.
        save_images: Write the evaluated images as PNG.
        preflight: Look for masked gradients and failed attacks.
        planted: Images on which the attack that broke most is tested where an adversarial image is known to exist, for each
            network and budget; 0, or without preflight: no such test.
        metrics: Further columns, by name.
        precision: In which networks are computed while they are attacked: `float32`, `bf16`, or `tf32` on a CUDA device.
            Every success, and what is handed over, is judged in float32.
        compile: Compile the networks, where their threat and torch allow it; what is not compiled is said.
        max_queries_total: Images that black boxes may be sent in all, by every run into `out` and every process; None: no
            limit.
        root: Folder of the data sets; None: the default one.
        download: Whether torchvision may fetch data that is missing.

    Raises:
        UnknownName: A name or a parameter is not known.
        ContractError: What is given does not go together.
        AccessError: An attack asks for what a threat does not grant.
    """

    @named_arguments
    @exits_are_errors()
    def __init__(
        self,
        out: str | Path,
        *,
        data: Any,
        models: Any,
        attacks: Any,
        defences: Any = ("none",),
        threats: Any = None,
        goal: Goal | str = "untargeted",
        labels: str = "true",
        rejects: bool = False,
        seed: int = 0,
        batch_size: int | None = None,
        device: str = "cpu",
        levels: int | Literal["data"] | None = "data",
        budget: int | None = None,
        save_images: bool = False,
        preflight: bool = True,
        planted: int = 0,
        metrics: Sequence[str] = (),
        precision: str = "float32",
        compile: bool = False,
        max_queries_total: int | None = None,
        root: str | Path | None = None,
        download: bool = False,
    ) -> None:
        if labels not in ("true", "own"):
            raise ContractError(f"expected labels 'true' or 'own', got {labels!r}")
        check_output(Path(out), folder=True)
        check("Study", "preflight", preflight, bool)
        check("Study", "planted", planted, Whole)
        check("Study", "metrics", metrics, Sequence[str])
        check("Study", "compile", compile, bool)
        check("Study", "max_queries_total", max_queries_total, Count | None)
        check_device(device)
        computed_in = check_precision(precision, device)
        self.store = Store(out)
        self.ledger = QueryLedger(self.store.path / "queries.json", max_queries_total)
        self.data = datasets.load(data, root=root, labels=labels, download=download)  # type: ignore[arg-type]
        self.preflight, self.planted = preflight, planted if preflight else 0
        self.words = as_words(
            out=str(out),
            data=data,
            models=models,
            attacks=attacks,
            defences=defences,
            threats=threats,
            goal=goal,
            labels=labels,
            rejects=rejects,
            seed=seed,
            batch_size=batch_size,
            device=device,
            levels=levels,
            budget=budget,
            save_images=save_images,
            preflight=preflight,
            planted=planted,
            metrics=tuple(metrics),
            precision=precision,
            compile=compile,
            max_queries_total=max_queries_total,
            root=None if root is None else str(root),
        )
        self._sizes: dict[str, int] = {}  # batch sizes that were looked for
        self._folder = Path.cwd()
        self.command: list[str] | None = None  # what a report tells others to run; the command line sets it
        self.cells: list[Cell] = []
        self.adapted: dict[str, Adaptation] = {}
        reader = Reader()
        means = partial(RunMeans, folder=Path(out) / "surrogates", root=root, device=device)
        named_defences = named(defences, defence_of, reader)
        named_threats = None if threats is None else named(threats, threat_of, reader)
        named_attacks = named(attacks, lambda word: attack_of(word, self.data), reader)
        networks = with_defences(models, named_defences, reader)
        count_in(self.ledger, [plain.value for plain, _ in networks])
        models_on_device = [(model_of(plain, rejects), fronts) for plain, fronts in networks]
        for model, _ in models_on_device:
            model.value.to(device)
        size = self._searched(models_on_device, device) if batch_size is None else batch_size
        further = further_metrics(metrics, self.data)
        self.settings = Settings(seed, size, device, levels, budget, save_images, further, computed_in, compile)
        for model, defended in models_on_device:
            labelled = own_labels(model, self.data, self.settings) if labels == "own" else self.data
            self.cells += make_cells(
                [model],
                defended,
                named_threats,
                named_attacks,
                labelled,
                goal,
                self.settings,
                means,
                self.adapted if preflight else None,
            )
        self.missing = reader.missing
        lacking = [error for cell in self.cells if (error := cell.lacking) is not None]
        if len(lacking) == len(self.cells) and (errors := [*self.missing.values(), *lacking]):
            raise errors[0]
        if not self.cells:
            raise ContractError("expected at least one model, one defence and one attack, got an empty study")
        self.cells = each_once(self.cells)

    def _searched(self, models: Sequence[tuple[Named[nn.Module], Sequence[Named[Any]]]], device: str) -> int:
        """The batch size where none is given; workers are told it, and a run that is resumed finds it in its plan."""
        if not is_searched(device):
            return automatic_batch_size(self.data)
        networks = {
            f"{model.name}, {defence.name}": defence.value.wrap(model.value).to(device)
            for model, fronts in models
            for defence in fronts
            if not drifts(model.value)
        }
        size, self._sizes = searched_batch_size(networks, self.data, device, self.store.study().get("batch_sizes", {}))
        if self.words is not None:
            self.words["batch_size"] = size
        return size

    @named_arguments
    @exits_are_errors()
    def run(
        self,
        tell: Tell | None = None,
        workers: int = 1,
        progress: bool = True,
        *,
        executor: Executor | str | None = None,
        shard: Shard | str | None = None,
    ) -> StudyResults:
        """Run what is not stored yet; finished work is never repeated.

        Args:
            tell: Told of every finished batch; None: lines on standard error.
            workers: Processes over which the batches are spread; 1 runs them in this one. More need a study of words.
            progress: Whether there are such lines.
            executor: Where batches are computed, in place of a number of processes: `ray:address=auto,gpus=1`, see
                [scale](scale.md).
            shard: `2/8` for the second of eight processes that share the work, each with its own batches. What waits for
                all batches - audits, planted tests, findings between cells - is left for a run without a shard.

        Returns:
            How each cell ended, in the order of the plan, and the results.

        Raises:
            ContractError: Several workers and a study that holds objects of this process.
            QueriesSpent: The run would send more images than `max_queries_total`; finished batches are stored.
        """
        mine, work = Shard.read(shard), executor_of(executor, workers)
        check_words(work, self.words is not None, "a study")
        tell_lacking(self.missing, self.cells)
        check_fit(self.cells)
        if tell is None and progress:
            tell = progress_lines()
        count_in(self.ledger, [cell.defended for cell in self.cells])
        self.ledger.begin()
        try:
            outcomes = StudyRun(self).carry_out(work, tell, mine)
        except VaubanError as error:
            if self.ledger.refused:  # said once, in whatever process it was
                raise QueriesSpent(self.ledger.stopped(self.ledger.sent)) from error
            raise
        return StudyResults(self.store.path, tuple(outcomes))

    @property
    def expected_queries(self) -> ExpectedQueries | None:
        """How many images a run sends to services, at most; None where none is asked and nothing is limited."""
        if self.ledger.limit is None and not any(drifts(cell.defended) for cell in self.cells):
            return None
        return expected(self.cells, self.store, self.ledger, self.preflight)

    @cached_property
    def _made_of(self) -> dict[str, Any]:
        """The words that make this study again, keys by name alone, with the files that they name and where they were."""
        if self.words is None:
            return {"words": None}
        named = {key: word for key, word in self.words.items() if key not in ("out", "data", "root")}
        return {"words": self.words, "folder": str(self._folder), "files": named_files(named)}

    def plan(self) -> dict[str, Any]:
        """What `study.json` holds."""
        return {
            **self._made_of,
            **named_in(self.cells),
            "data": str(self.data),
            "seed": self.settings.seed,
            "batch_size": self.settings.batch_size,
            **({"batch_sizes": self._sizes} if self._sizes else {}),
            "device": self.settings.device,
            "n": len(self.data),
            "missing": {word: str(error) for word, error in self.missing.items()},
            "adapted": {network: seen.sentence for network, seen in self.adapted.items() if seen.sought},
            "preflight": self.preflight,
            "command": self.command,
        }

    @named_arguments
    def report(self, path: str | Path | None = None) -> Path:
        """Write the report page from the stored rows."""
        from vauban.report.run import page

        return page.write(self.store.path, path)
