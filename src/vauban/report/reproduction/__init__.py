"""The report of a reproduction: printed values beside ours."""
