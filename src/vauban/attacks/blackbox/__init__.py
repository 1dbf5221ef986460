"""Attacks that ask for scores or labels only."""
