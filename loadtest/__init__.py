"""Load tests that check themselves: scenarios for locust, a report, and what a machine holds."""
