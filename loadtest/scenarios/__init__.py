"""One file a scenario: its users, and a shape that says what happens when."""
