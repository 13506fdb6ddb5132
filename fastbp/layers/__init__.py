"""A layer: its units, its activation, how its weights start."""
