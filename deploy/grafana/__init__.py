"""The dashboard: what it asks (``rows``), and how Grafana wants that written (``model``)."""
