"""`vauban certify`: bounds on the change under which answers stay the same, and attacks beside them."""

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


def certify(
    certificate: Annotated[list[str], typer.Option(help="Certificate, e.g. smoothing:sigma=0.25,n=10000, ibp, crown.")],
    model: ModelOption,
    data: Annotated[str, typer.Option(help="Images, e.g. mnist/test[:100].")],
    attack: Annotated[
        list[str] | None, typer.Option(help="Attack of the empirical curve, or none; else the certificate's own.")
    ] = None,
    defence: DefenceOption = "none",
    out: Annotated[Path, typer.Option(parser=output_path, help="Run directory; run again to resume.")] = Path(
        "runs/certify"
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
    """Certify a model and write rows and report.html: certified accuracy against radius, and what attacks leave.

    A certificate is about the classifier, the norm and the probability that its line names, and about no other.
    """
    from vauban.certificates.certify import BATCH
    from vauban.certificates.certify import certify as certified
    from vauban.cli.screens.rows import certified_so_far, show_progress
    from vauban.core.errors import plain
    from vauban.report.run import page

    mine = shard_of(shard, {})
    size = batch_size_of(batch_size)
    results = certified(
        certificate,
        model,
        data,
        out,
        defence=defence,
        attacks=None if attack is None else [word for word in attack if word != "none"],
        seed=seed,
        batch_size=BATCH if size is None else size,
        device=device_of(device),
        rejects=rejects,
        root=data_root,
        download=download,
        workers=workers,
        executor=executor,
        shard=mine,
        tell=None if quiet else show_progress(certified_so_far),
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
