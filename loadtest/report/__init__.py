"""What is left of a run: one page that needs no network, a summary, and what both are made of."""
