"""What things cost: each report is made by one command, in ratios within one run."""
