"""What a Trainer is made of."""
