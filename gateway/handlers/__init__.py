"""The application's handlers: what they are given, and how one is run."""
