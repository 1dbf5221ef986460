"""Numerics of smoothing guided by an image: grid systems, their solvers, the bilateral filter."""
