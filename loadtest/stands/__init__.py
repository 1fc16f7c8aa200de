"""The gateways that are tested, one module for each place where they run."""
