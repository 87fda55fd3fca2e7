"""Compares what a run gave with what its record holds, each kind of output in its own way."""
