"""What a person reads: tables and one offline page, pure functions of stored rows. Needs no torch."""

from vauban.report.page import write
from vauban.report.tables import render
from vauban.report.verdict import Headline, headlines

__all__ = ["Headline", "headlines", "render", "write"]
