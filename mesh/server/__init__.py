"""Floor 2: the embedded nats-server, a real binary as a process of its own. Nothing here speaks more NATS than its greeting."""
