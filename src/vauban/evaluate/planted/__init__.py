"""Planted test of an attack: images near which an adversarial image is known to exist."""
