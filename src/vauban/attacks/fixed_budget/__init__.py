"""Attacks at a fixed budget: the largest loss inside a ball."""
