"""Defences that transform the image before the network sees it, one file each."""
