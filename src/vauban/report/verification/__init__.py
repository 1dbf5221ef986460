"""Page of a verification."""
