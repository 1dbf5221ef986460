"""Attacks that are fitted on images first: one perturbation for all of them."""
