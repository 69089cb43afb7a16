"""Model families behind one adapter, the low-rank layer, and what is read from and written to a model folder."""
