"""Figure 5.6: P(D) of all attacks on robust networks, with quantisation, on three data sets."""

from __future__ import annotations

from functools import partial

from vauban.reproduce.papers.thesis5.networks import ROBUST_SCALES
from vauban.reproduce.papers.thesis5.setting import curve_cells, curve_panels, register_per_data_set

register_per_data_set(
    "fig5.6",
    "Figure 5.6: operating characteristics, robust networks",
    partial(curve_cells, role="robust"),
    partial(curve_panels, role="robust"),
    scales=ROBUST_SCALES,
)
