"""States and C functions that other compiled code is handed."""
