"""Static figures: one matplotlib style (`curvlab.figures.style`) and the plotting functions
that chapters call."""
