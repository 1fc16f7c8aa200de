"""One publication to many: its subscribers, its publishers, and how both speak to each peer."""
