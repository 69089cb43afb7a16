"""The machine that a job runs on: what it asks of it, its GPU, its memory and time."""
