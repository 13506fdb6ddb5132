"""What scripts/example and scripts/demo run."""
