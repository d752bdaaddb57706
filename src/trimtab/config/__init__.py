"""The run file: its schema, its errors, and writing one for a log."""
