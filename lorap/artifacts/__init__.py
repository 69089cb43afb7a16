"""What the steps make: specs, cells, places, names, hashes of code, and the meta of each artifact; no torch here."""
