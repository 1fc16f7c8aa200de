"""What workers say to each other: links and their queues, the hub, questions to owners."""
