"""Seeing it: one call emits a named event; log lines, and later spans and metrics, are derived from it."""
