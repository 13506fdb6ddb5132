"""Products, rows, exp and log, random numbers: what the algorithm rests on."""
