"""A job seen from outside: hand it in, look at it, follow it, tell it something."""
