"""A step: done once, by an agent or here, tried again, stood in for, in doubt, undone."""
