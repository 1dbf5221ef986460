"""`python -m vauban.cli` is `vauban`."""

from vauban.cli import main

main()
