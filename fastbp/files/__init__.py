"""What is on disk: whole or not at all, strictly read."""
