"""Adaptation: what an attacker finds out about a network without a card, and the ways around what masks its gradient."""
