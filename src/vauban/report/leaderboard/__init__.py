"""Leaderboard: networks of several runs ranked within one budget, on the same images under the same attacks."""
