"""The registry of what can happen to a sub-layer: one file a treatment, a name for each.

A method is a pair of names with two numbers (``schema.Method``); ``Recipe`` turns it into plans and into work.
"""

from lorap.methods.recipe import Recipe, make_recipe

__all__ = ["Recipe", "make_recipe"]
