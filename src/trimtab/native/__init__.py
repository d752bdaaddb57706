"""The loops of a training step in C++, compiled for the machine at first use."""
