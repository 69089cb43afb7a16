"""Compression of a whole model: its plan, the loop over its layers, the run, and the dense export."""
