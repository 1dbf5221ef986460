"""The command line: `vauban evaluate|report|table|status|verify|train|reproduce|list`.

Exit codes: 0 done; 1 robust accuracy below --fail-under; 2 bad input or an error in a user's file, told in one line; 3
some batches failed (recorded, tried again at the next run); 130 interrupted. Nothing heavy is imported before a command
needs it.
"""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from vauban.core.errors import VaubanError
from vauban.core.memory import keep_freed

app = typer.Typer(
    help="Attack, defend and honestly measure image classifiers.", no_args_is_help=True, add_completion=False,
    pretty_exceptions_enable=False, rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip

INTERRUPTED = 130
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
RootOption = Annotated[Path | None, typer.Option("--data-root", help="Folder that holds the data sets.")]


def main() -> None:
    """Entry point: errors a user can act on become one line and exit code 2."""
    debug = "--debug" in sys.argv
    keep_freed()
    try:
        code = app(standalone_mode=False, prog_name="vauban")
    except VaubanError as error:
        if debug:
            raise
        _complain(str(error))
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except typer.Exit as leave:
        sys.exit(leave.exit_code)
    except OSError as error:
        if debug:
            raise
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        _complain(f"{what}; choose another file or folder, or make room there")
        sys.exit(2)
    except Exception as error:
        code = _usage(error, debug)
    if code == INTERRUPTED:  # typer makes this code of Ctrl-C
        _complain("interrupted; finished batches are stored, run the same command to go on")
    sys.exit(code if isinstance(code, int) else 0)


def _usage(error: Exception, debug: bool) -> int:
    """Errors of the command line's own grammar, and whatever a user's file raises: one line, the traceback for --debug."""
    if debug:
        raise error
    message = getattr(error, "format_message", None)
    if message is None:
        first = next(iter(str(error).strip().splitlines()), "")
        _complain(f"{type(error).__name__}: {first}; the same command with --debug shows where")
        return 2
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError" and context is not None:
        typer.echo(context.get_help())
        return 2
    path = context.command_path if context is not None else "vauban"
    _complain(f"{message().rstrip().rstrip('.')}; see {path} --help")
    return 2


def _complain(message: str) -> None:
    typer.echo(f"vauban: {' '.join(message.split())}", err=True)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        from vauban import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.command()
def evaluate(
    model: Annotated[list[str] | None, typer.Option(help="Model: a name, a weights file or file.py:name.")] = None,
    data: Annotated[str | None, typer.Option(help="Data set, e.g. mnist/test[:500].")] = None,
    attack: Annotated[list[str] | None, typer.Option(help="Attack, e.g. pgd:eps=8/255,steps=40.")] = None,
    defence: Annotated[list[str] | None, typer.Option(help="Defence, e.g. jpeg:quality=75, none, a+b.")] = None,
    threat: Annotated[list[str] | None, typer.Option(help="Threat, e.g. white-box, adaptive:eot=16.")] = None,
    goal: Annotated[str, typer.Option(help="untargeted, least-likely, random-wrong or targeted:3.")] = "untargeted",
    out: Annotated[Path, typer.Option(help="Run directory; run again to resume.")] = Path("runs/evaluate"),
    labels: Annotated[str, typer.Option(help="true, or own: the model's own answers.")] = "true",
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    batch_size: Annotated[str, typer.Option(help="A number, or auto.")] = "auto",
    seed: Annotated[int, typer.Option(help="Seed of every random number.")] = 0,
    budget: Annotated[int | None, typer.Option(help="Forward passes per sample.")] = None,
    unrounded: Annotated[bool, typer.Option("--unrounded", help="Do not round images to pixel levels.")] = False,
    fail_under: Annotated[float | None, typer.Option(help="Exit 1 when robust accuracy is below.")] = None,
    save_images: Annotated[bool, typer.Option("--save-images", help="Write the evaluated images as PNG.")] = False,
    preflight: Annotated[bool, typer.Option(help="Check for masked gradients and failed attacks.")] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show cells, passes and time; run nothing.")] = False,
    data_root: RootOption = None,
    debug: DebugOption = False,
) -> None:
    """Attack models behind defences and write rows and report.html.

    Without options: a small CNN on the handwritten digits inside scikit-learn, undefended and with one defence.
    """
    from vauban.evaluate.study import Study
    from vauban.terminal import run_with_progress, show_outcomes, show_plan

    if model and not data:
        raise VaubanError(
            "expected --data beside --model, e.g. --data mnist/test[:500]; vauban list datasets names them"
        )
    study = Study(
        out, data=data or "digits/test[:150]", models=model or ["digits-cnn"],
        attacks=attack or ["fgsm", "pgd", "ddn", "standard"],
        defences=defence or (["none"] if model else ["none", "bit-depth:bits=2"]), threats=threat, goal=goal,
        labels=labels, seed=seed, batch_size=_batch_size(batch_size), device=_device(device),
        levels=None if unrounded else "data", budget=budget, save_images=save_images, preflight=preflight,
        root=data_root,
    )  # fmt: skip
    study.command = ["vauban", *sys.argv[1:]]
    if dry_run:
        show_plan(study)
        return
    outcomes = run_with_progress(study)
    page = study.report()
    lowest = show_outcomes(study, page)
    if any(o.failures for o in outcomes):
        raise typer.Exit(3)
    if fail_under is not None and (lowest is None or lowest < fail_under):
        typer.echo(f"vauban: robust accuracy {lowest:.3f} is below {fail_under}" if lowest is not None else
                   "vauban: no attack ran at a budget, so --fail-under has nothing to compare", err=True)  # fmt: skip
        raise typer.Exit(1)


@app.command()
def report(directory: Path, debug: DebugOption = False) -> None:
    """Write report.html again from the rows of a run directory (needs no torch)."""
    from vauban.report import page

    typer.echo(page.write(directory))


@app.command()
def table(
    directory: Path,
    form: Annotated[str, typer.Option("--format", help="md, csv or latex.")] = "md",
    population: Annotated[str, typer.Option(help="all, correct or common.")] = "correct",
    debug: DebugOption = False,
) -> None:
    """Print the results of a run directory as a table (needs no torch)."""
    from vauban.report import tables
    from vauban.store import query

    typer.echo(tables.render(query.load(directory), form, population))


@app.command()
def status(directory: Path, debug: DebugOption = False) -> None:
    """Show which cells of a run directory are complete, stale or failed (needs no torch)."""
    from vauban.terminal import show_status

    show_status(directory)


@app.command()
def verify(
    model: Annotated[str, typer.Option(help="Model: a name, a weights file or file.py:name.")],
    data: Annotated[str, typer.Option(help="The originals, in the order of the images.")],
    adv: Annotated[Path, typer.Option(help="Adversarial images: npz, npy, pt, or a folder of <id>.png.")],
    budget: Annotated[str, typer.Option(help="e.g. linf:8/255.")],
    defence: Annotated[str, typer.Option(help="A defence in front of the model.")] = "none",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    data_root: RootOption = None,
    debug: DebugOption = False,
) -> None:
    """Judge adversarial images that somebody else made: in budget, in range, on the lattice, success after reload."""
    from vauban import data as datasets
    from vauban import defences, models
    from vauban.evaluate.verify import verify as judge

    defended = defences.load(defence).wrap(models.load(model))
    found = judge(defended, datasets.load(data, root=data_root), adv, budget).as_dict()
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    for name, value in found.items():
        typer.echo(f"{name.replace('_', ' '):>18}  {value if isinstance(value, int) else format(value, '.4f')}")


@app.command()
def train(
    model: Annotated[str, typer.Option(help="Architecture, e.g. mnist-c4.")],
    data: Annotated[str, typer.Option(help="Training data, e.g. mnist/train.")],
    out: Annotated[Path, typer.Option(help="Weights to write, .safetensors.")],
    epochs: Annotated[int, typer.Option(help="Passes over the data.")] = 6,
    batch_size: Annotated[int, typer.Option(help="Samples per step.")] = 128,
    lr: Annotated[float, typer.Option(help="Learning rate.")] = 1e-3,
    optimiser: Annotated[str, typer.Option(help="adam or sgd.")] = "adam",
    cosine: Annotated[bool, typer.Option("--cosine", help="Let the learning rate fall to zero.")] = False,
    augment: Annotated[bool, typer.Option("--augment", help="Mirror and shift the images.")] = False,
    adversarial: Annotated[str | None, typer.Option(help="Train on this attack's images, e.g. pgd:eps=8/255.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of initialisation and order.")] = 0,
    validation: Annotated[str | None, typer.Option(help="Validation data; else a part of the training data.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    data_root: RootOption = None,
    debug: DebugOption = False,
) -> None:
    """Train an architecture and write its weights with the recipe and the data fingerprint."""
    from vauban import data as datasets
    from vauban import models
    from vauban.evaluate.words import attack_of
    from vauban.terminal import show_epoch

    held = datasets.load(validation, root=data_root) if validation else None
    models.train(
        model, datasets.load(data, root=data_root), out, epochs, seed, batch=batch_size, lr=lr, optimiser=optimiser,
        cosine=cosine, augment=augment, adversarial=attack_of(adversarial).value if adversarial else None,
        validation=held, device=_device(device), callback=show_epoch,
    )  # fmt: skip
    typer.echo(out)


@app.command()
def reproduce(
    name: Annotated[str | None, typer.Argument(metavar="ID", help="A table or figure of a paper, see --list.")] = None,
    scale: Annotated[str, typer.Option(help="How much: smoke (seconds), small, paper.")] = "smoke",
    show: Annotated[bool, typer.Option("--list", help="Show ids, titles, scales and minutes.")] = False,
    out: Annotated[Path, typer.Option(help="Folder that all experiments share.")] = Path("runs/reproduce"),
    images: Annotated[int | None, typer.Option(help="Fewer images than the scale has.")] = None,
    seed: Annotated[list[int] | None, typer.Option(help="Seeds in place of the scale's.")] = None,
    random_weights: Annotated[bool, typer.Option("--random-weights", help="Fetch no weights: a trial run.")] = False,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    batch_size: Annotated[str, typer.Option(help="A number, or auto.")] = "auto",
    data_root: RootOption = None,
    debug: DebugOption = False,
) -> None:
    """Run a paper's table or figure and write its numbers beside ours.

    Finished batches are stored in OUT and never made twice, by this experiment or by another that needs the same.
    """
    from vauban.terminal import reproduce_with_progress, show_experiments, show_reproduction

    if show:
        show_experiments()
        return
    if name is None:
        raise VaubanError("expected the id of an experiment, e.g. cia-2; vauban reproduce --list names them")
    folder = reproduce_with_progress(
        name, scale, out, images=images, seeds=seed or None, data_root=data_root, device=_device(device),
        batch_size=_batch_size(batch_size), untrained=random_weights, command=shlex.join(["vauban", *sys.argv[1:]]),
    )  # fmt: skip
    show_reproduction(folder)


@app.command("list")
def list_(
    kind: Annotated[
        str, typer.Argument(help="attacks, defences, models, datasets, threats, metrics, losses, experiments.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    debug: DebugOption = False,
) -> None:
    """List what is built in, with a line on each."""
    from vauban.terminal import entries

    found = entries(kind)
    if as_json:
        typer.echo(json.dumps(found, indent=2, default=str))
        return
    width = max(len(str(e["name"])) for e in found)
    for entry in found:
        typer.echo(f"{entry['name']!s:<{width}}  {entry['summary']}")


def _batch_size(text: str) -> int | None:
    if text == "auto":
        return None
    if not text.isdigit() or int(text) < 1:
        raise VaubanError(f"expected --batch-size as a whole number above 0 or auto, got {text!r}")
    return int(text)


def _device(text: str) -> str:
    import torch

    try:
        device = torch.device(text)
    except RuntimeError:
        raise VaubanError(f"expected --device cpu, cuda or cuda:0, got {text!r}") from None
    if device.type not in ("cpu", "cuda"):
        raise VaubanError(f"expected --device cpu, cuda or cuda:0, got {text!r}")
    found = torch.cuda.device_count() if device.type == "cuda" and torch.cuda.is_available() else 0
    if device.type == "cuda" and not found:
        raise VaubanError(f"--device {text}: this machine has no CUDA device that torch can use; use --device cpu")
    if device.type == "cuda" and (device.index or 0) >= found:
        raise VaubanError(f"--device {text}: this machine has {found} CUDA devices, the first is cuda:0")
    return text


if __name__ == "__main__":
    main()
