"""What is spoken on a connection: one module for each way of speaking."""
