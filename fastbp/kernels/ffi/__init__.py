"""What compiled programs of others call."""
