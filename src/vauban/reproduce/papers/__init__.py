"""The papers whose tables and figures are made again: a folder each, a file for a table or a figure."""
