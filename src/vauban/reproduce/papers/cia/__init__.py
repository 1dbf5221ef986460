"""Clipping Free Attacks Against Neural Networks (Centered Initial Attack): its tables and figures."""
