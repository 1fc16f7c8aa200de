"""Others that do the same work, as they come from their registries. See README.md here."""
