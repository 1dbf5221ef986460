"""Defences inside a network: patches of an image or of any named layer replaced by what clean data have."""
