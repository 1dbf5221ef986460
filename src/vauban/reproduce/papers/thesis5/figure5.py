"""Figure 5.5: P(D) of all attacks without quantisation, on three data sets."""

from __future__ import annotations

from functools import partial

from vauban.reproduce.papers.thesis5.setting import curve_cells, curve_panels, register_per_data_set

register_per_data_set(
    "fig5.5",
    "Figure 5.5: operating characteristics, without quantisation",
    partial(curve_cells, quantised=False),
    partial(curve_panels, quantised=False),
)
