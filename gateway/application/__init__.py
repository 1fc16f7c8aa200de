"""What stands before a worker: the routes of its process, and the verbs of applications."""
