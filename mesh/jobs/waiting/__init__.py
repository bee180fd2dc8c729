"""Waits: opened, journaled, and woken from, whoever drives the job or nobody."""
