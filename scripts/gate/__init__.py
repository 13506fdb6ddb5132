"""What the gate and its trials are made of."""
