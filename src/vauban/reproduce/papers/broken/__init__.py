"""Benchmark of the field: defences that were broken in the literature, attacked with and without their cards."""
