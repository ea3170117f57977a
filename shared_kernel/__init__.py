"""What board and host must agree on, bit for bit. Imports nothing of the project."""
