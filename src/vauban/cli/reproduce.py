"""`vauban reproduce`: a paper's table or figure, its numbers beside ours."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from vauban.cli.options import (
    BatchSizeOption,
    DebugOption,
    DeviceOption,
    ExecutorOption,
    RootOption,
    ShardOption,
    WorkersOption,
    batch_size_of,
    device_of,
    output_path,
)
from vauban.cli.shards import end_shard, shard_of
from vauban.core.errors import VaubanError


def reproduce(
    name: Annotated[
        str | None, typer.Argument(metavar="ID", help="A table or figure of a paper, see --list, or a file of yours.")
    ] = None,
    scale: Annotated[str, typer.Option(help="How much: smoke (seconds), small, paper.")] = "smoke",
    show: Annotated[bool, typer.Option("--list", help="Show ids, titles, scales and minutes.")] = False,
    template: Annotated[
        Path | None, typer.Option(metavar="FILE.py", help="Write a table of your own paper to start from, and end.")
    ] = None,
    out: Annotated[Path, typer.Option(parser=output_path, help="Folder that all experiments share.")] = Path(
        "runs/reproduce"
    ),
    images: Annotated[int | None, typer.Option(help="Fewer images than the scale has.")] = None,
    seed: Annotated[list[int] | None, typer.Option(help="Seeds in place of the scale's.")] = None,
    training_seed: Annotated[
        list[int] | None, typer.Option(help="Seeds of the trainings in place of the scale's.")
    ] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(
            help="Key file or env:NAME for each training seed, in place of the public keys of a keyed experiment."
        ),
    ] = None,
    random_weights: Annotated[bool, typer.Option("--random-weights", help="Fetch no weights: a trial run.")] = False,
    device: DeviceOption = "cpu",
    batch_size: BatchSizeOption = "auto",
    workers: WorkersOption = 1,
    executor: ExecutorOption = None,
    shard: ShardOption = None,
    data_root: RootOption = None,
    debug: DebugOption = False,
) -> None:
    """Run a paper's table or figure, its numbers beside ours.

    Finished batches are stored in OUT and never made twice, by this experiment or by another that needs the same.
    """
    from vauban.cli.screens import reproduce_with_progress, show_experiments, show_reproduction

    if template is not None:
        from vauban.reproduce.template import write_template

        typer.echo(f"wrote {' and '.join(map(str, write_template(template)))}")
        return
    if show:
        show_experiments()
        return
    if name is None:
        raise VaubanError("expected the id of an experiment, e.g. cia-2; vauban reproduce --list names them")
    mine = shard_of(shard, {})
    folder = reproduce_with_progress(
        name,
        scale,
        out,
        images=images,
        seeds=seed or None,
        training_seeds=training_seed or None,
        keys=key or None,
        data_root=data_root,
        device=device_of(device),
        batch_size=batch_size_of(batch_size),
        workers=workers,
        executor=executor,
        shard=mine,
        untrained=random_weights,
        command=shlex.join(["vauban", *sys.argv[1:]]),
    )
    if mine is not None:
        end_shard(mine, None, failed=False)
        return
    if show_reproduction(folder):
        raise typer.Exit(3)
