"""Table 5.4: all attacks on robust networks, with quantisation, on three data sets."""

from __future__ import annotations

from vauban.reproduce.declarations import Scale, TableCell
from vauban.reproduce.papers.thesis5.attacks import DataSetting
from vauban.reproduce.papers.thesis5.networks import ROBUST_SCALES
from vauban.reproduce.papers.thesis5.setting import comparison, register_per_data_set

CSV = "thesis-table5.4"


def cells(data: DataSetting, scale: Scale) -> list[TableCell]:
    return comparison(f"{CSV}-{data.name}.csv", data, scale, "robust")


register_per_data_set("5.4", "Table 5.4: attacks, robust networks", cells, csv=CSV, scales=ROBUST_SCALES)
