"""Commands with `--shard`: what is refused beside it, and how they end."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vauban.cli.gates import UNFINISHED
from vauban.core.errors import VaubanError, plain

if TYPE_CHECKING:
    from vauban.jobs.shard import Shard


def shard_of(text: str | None, whole: Mapping[str, object]) -> Shard | None:
    """The shard of the word of `--shard`.

    Args:
        text: The word.
        whole: What was given for options that are about all batches, by their names.

    Raises:
        VaubanError: The word is no shard, or such an option was given beside it.
    """
    from vauban.jobs.shard import Shard

    shard = Shard.read(text)
    for option, given in whole.items():
        if shard is not None and given:
            raise VaubanError(f"expected {option} in the last run, without --shard, since it is about all batches")
    return shard


def end_shard(shard: Shard, out: Path | None, failed: bool, quiet: bool = False) -> None:
    """Say what is left after a shard; exit code 3 where batches failed."""
    if not quiet:
        seen = "" if out is None else f"vauban status {out} shows all of them; "
        typer.echo(plain(f"shard {shard}: done; {seen}when all are done, run the same command once without --shard"))
    if failed:
        raise typer.Exit(UNFINISHED)
