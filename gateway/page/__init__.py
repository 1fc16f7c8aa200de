"""A page to try the gateway with: three files, no build step."""
