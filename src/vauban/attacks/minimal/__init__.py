"""Attacks without a budget: the nearest adversarial image."""
