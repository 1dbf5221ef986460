"""Jobs: one kind of work, with one runner, executors, identities and provenance."""
