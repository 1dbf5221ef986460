"""Keyed defences: transforms that follow from a secret, before a network that was trained behind them."""
