"""A batch to what the network reads: embedding tables, pooling, numbers."""
