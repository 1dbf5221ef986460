"""Vocabulary of every other package: tensors, norms, goals, losses, coordinates, cards, random numbers, errors."""
