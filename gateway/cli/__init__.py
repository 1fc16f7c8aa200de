"""The command ``gateway``: one file for each group of subcommands."""
