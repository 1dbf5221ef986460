"""Inspection of a finished run: its files, what it was made of, and its verdicts; what `vauban audit` prints."""
