"""One run: its settings, the loop of updates, what is recorded of it, and its result file."""
