"""Screens of the command line: plans, progress, outcomes, status, lists."""

from vauban.cli.screens.comparison import show_comparison
from vauban.cli.screens.layout import console, hidden
from vauban.cli.screens.lists import registry_entries, show_epoch, show_epochs, show_selected
from vauban.cli.screens.reproduction import reproduce_with_progress, show_experiments, show_reproduction
from vauban.cli.screens.status import show_status
from vauban.cli.screens.study import run_with_progress, show_outcomes, show_plan, show_queries

__all__ = [
    "console",
    "hidden",
    "registry_entries",
    "reproduce_with_progress",
    "run_with_progress",
    "show_comparison",
    "show_epoch",
    "show_epochs",
    "show_experiments",
    "show_outcomes",
    "show_plan",
    "show_queries",
    "show_reproduction",
    "show_selected",
    "show_status",
]
