"""Text and the windows cut from it."""
