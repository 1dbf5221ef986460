"""Figure 5.4: P(D) of all attacks with quantisation, on three data sets."""

from __future__ import annotations

from vauban.reproduce.papers.thesis5.setting import curve_cells, curve_panels, register_per_data_set

register_per_data_set("fig5.4", "Figure 5.4: operating characteristics, with quantisation", curve_cells, curve_panels)
