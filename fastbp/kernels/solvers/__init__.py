"""What solvers over whole sets compute: directions, the Jacobian, the normal equations."""
