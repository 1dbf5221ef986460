"""Defences by surgery: other modules in the place of parts of a trained network, or behind them."""
