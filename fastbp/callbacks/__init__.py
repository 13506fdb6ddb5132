"""What is called while a fit runs."""
