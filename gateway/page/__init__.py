"""A page to try the gateway with: plain files, no build step."""
