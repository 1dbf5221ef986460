"""Diagnostics: preflight, indicators of one cell and across cells, and the findings that they store."""
