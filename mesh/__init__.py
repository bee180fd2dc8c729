"""The agent mesh on NATS."""
