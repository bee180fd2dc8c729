"""Messages in and out of a process, and what one hands down to the next."""
