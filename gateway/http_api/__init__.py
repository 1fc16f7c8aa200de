"""What backends call: who may, and the routes of the connection API."""
