"""Is every artifact what the settings say: verify, adopt, prune, compare; and what Snakemake and DVC need of us."""
