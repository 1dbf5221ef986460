"""Edits: parts of recipes that put other modules into a network, and are replayed when its weights are loaded."""
