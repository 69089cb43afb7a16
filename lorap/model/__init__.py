"""LLaMA-shaped models: families, folders, weights on disk, the plan of a layer, and the factored model itself."""
