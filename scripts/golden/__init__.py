"""What makes the figures under tests/golden."""
