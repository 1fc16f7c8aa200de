"""A day with faults as the dashboard shows it: lived (``day``), told (``report``), drawn."""
