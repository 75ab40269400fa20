"""Per-example input curvature of neural networks."""

__version__ = "0.1.0"
