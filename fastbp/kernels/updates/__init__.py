"""In-place updates of the weights: one small kernel an optimizer, and what undoes them."""
