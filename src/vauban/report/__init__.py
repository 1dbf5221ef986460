"""Reports that a person reads: tables and one offline page, pure functions of stored rows. Needs no torch."""

from vauban.report.run.headlines import Headline, headlines
from vauban.report.run.page import write
from vauban.report.run.tables import render

__all__ = ["Headline", "headlines", "render", "write"]
