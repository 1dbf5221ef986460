"""Statistics: estimates with intervals, summaries of rows, unions over runs, comparisons with printed values."""
