"""Figures: how each is drawn from the results, in one style."""
