"""Who lives and who may act: leases, the sweep of the dead, registration."""
