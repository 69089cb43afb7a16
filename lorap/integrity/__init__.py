"""Is every result what the settings say: what there should be, what is wrong with it, taking over the rest."""
