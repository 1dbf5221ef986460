"""The vocabulary every other package speaks: norms, goals, losses, spaces, cards, random streams, errors."""
