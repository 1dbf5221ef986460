"""`vauban measure`: metrics of a network on a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vauban.cli.gates import UNFINISHED
from vauban.cli.options import (
    BatchSizeOption,
    DebugOption,
    DefenceOption,
    DeviceOption,
    DownloadOption,
    ExecutorOption,
    ModelOption,
    QuietOption,
    RejectsOption,
    RootOption,
    SeedOption,
    ShardOption,
    WorkersOption,
    batch_size_of,
    device_of,
    output_path,
)
from vauban.cli.shards import end_shard, shard_of


def measure(
    metric: Annotated[
        list[str], typer.Option(help="Metric of a network, e.g. loss-sensitivity; repeated for several.")
    ],
    model: ModelOption,
    data: Annotated[str, typer.Option(help="Images, e.g. mnist/test[:500].")],
    attack: Annotated[
        str | None, typer.Option(help="Attack that makes the images, e.g. incremental-fgsm, ddn.")
    ] = None,
    defence: DefenceOption = "none",
    out: Annotated[Path, typer.Option(parser=output_path, help="Run directory; run again to resume.")] = Path(
        "runs/measure"
    ),
    rejects: RejectsOption = False,
    device: DeviceOption = "cpu",
    batch_size: BatchSizeOption = "auto",
    seed: SeedOption = 0,
    workers: WorkersOption = 1,
    executor: ExecutorOption = None,
    shard: ShardOption = None,
    quiet: QuietOption = False,
    data_root: RootOption = None,
    download: DownloadOption = False,
    debug: DebugOption = False,
) -> None:
    """Measure a network on images, or on what an attack makes of them; print the means and write report.html."""
    from vauban.cli.screens.rows import measured_so_far, show_progress
    from vauban.core.errors import plain
    from vauban.evaluate.measure import measure as measured
    from vauban.report.run import page

    mine = shard_of(shard, {})
    results = measured(
        metric,
        model,
        data,
        out,
        defence=defence,
        attack=attack,
        seed=seed,
        batch_size=batch_size_of(batch_size),
        device=device_of(device),
        rejects=rejects,
        root=data_root,
        download=download,
        workers=workers,
        executor=executor,
        shard=mine,
        tell=None if quiet else show_progress(measured_so_far),
    )
    failed = any(outcome.state == "failed" for outcome in results.outcomes)
    if mine is not None:
        end_shard(mine, out, failed, quiet)
        return
    written = page.write(out)
    if not quiet:
        typer.echo(f"{results}\n\nreport: {plain(str(written))}")
    if failed:
        raise typer.Exit(UNFINISHED)
