"""From a message to a journaled job, or to a dead letter."""
