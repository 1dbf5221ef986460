"""Evaluations: one attack on one batch, a resumable study, preflight checks, and verification of supplied images."""
