"""What is minimised, and what is measured beside it."""
