"""Per-example input curvature of neural networks."""

from curvlab.results import results

__all__ = ["results"]
__version__ = "0.1.0"
