"""vauban."""
