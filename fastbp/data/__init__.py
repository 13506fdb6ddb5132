"""Arrays as a person gives them: checked, described, not copied."""
