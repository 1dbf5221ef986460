"""Metrics of a network on the images of a data set, clean or attacked, one file each."""
