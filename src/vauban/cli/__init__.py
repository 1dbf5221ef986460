"""The command line: `vauban evaluate|certify|measure|report|compare|table|status|verify|magnify|train|fit|reproduce|list`.

Exit codes: 0 done; 1 a gate failed (--fail-under, --fail-on-drop); 2 bad input or an error in a user's file, told in one
line; 3 rows are missing, some batches failed (recorded, tried again at the next run); 130 interrupted. Nothing heavy is
imported before a command needs it.
"""

from vauban.cli.app import app, main

__all__ = ["app", "main"]
