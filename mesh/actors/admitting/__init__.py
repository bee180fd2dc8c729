"""What a message must pass before an actor takes it, and the order in which it is taken."""
