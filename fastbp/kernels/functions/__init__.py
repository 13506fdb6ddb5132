"""Activations beside their derivatives, losses beside their deltas, sums for metrics."""
