"""What a grid left behind, read: its results, their provenance, and the published numbers."""
