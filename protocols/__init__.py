"""Floor 0: what is said. Envelopes, subjects, acts, job events, artifacts, errors and the ports.

Pure: msgspec and the standard library, no I/O, no clock, no randomness. Everything above may import from here.
"""
