"""Objectives of recipes, one file each: what a training step makes small in place of the criterion on the samples."""
