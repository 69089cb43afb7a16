"""Tables and figures from result files; no torch here."""
