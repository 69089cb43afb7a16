"""Is every artifact what the settings say: verify, adopt, prune, compare, and one run at a time."""
