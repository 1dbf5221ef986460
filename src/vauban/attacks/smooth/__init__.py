"""Attacks whose perturbation is smooth where the attacked image is smooth."""
