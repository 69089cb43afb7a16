"""Measurements of a model, each with its whole protocol."""
