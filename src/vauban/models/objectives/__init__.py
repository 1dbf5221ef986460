"""Objectives of training that look into the layers of a network, one file each."""
