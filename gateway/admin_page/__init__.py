"""The page of operators: how the workers are, live, and what may be done to a connection."""
