"""The loop, a run, and its checkpoints."""
