"""What scripts/bench_gate and bench_trials are made of."""
