"""An instance at work: its life, and each message through its handler."""
