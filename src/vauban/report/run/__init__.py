"""The report of a run directory: verdicts, grid, table, curves, examples."""
