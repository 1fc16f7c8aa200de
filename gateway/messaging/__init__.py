"""What workers say to each other: links and their queues, routing, questions to owners."""
