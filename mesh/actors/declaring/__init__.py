"""What an agent declares: its handlers, their contracts and options."""
