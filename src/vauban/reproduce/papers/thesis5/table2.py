"""Table 5.2: all attacks with quantisation, on three data sets."""

from __future__ import annotations

from vauban.reproduce.declarations import Scale, TableCell
from vauban.reproduce.papers.thesis5.attacks import DataSetting
from vauban.reproduce.papers.thesis5.setting import comparison, register_per_data_set

CSV = "thesis-table5.2"


def cells(data: DataSetting, scale: Scale) -> list[TableCell]:
    return comparison(f"{CSV}-{data.name}.csv", data, scale)


register_per_data_set("5.2", "Table 5.2: attacks, with quantisation", cells, csv=CSV)
