"""Asking others: whom, how often, and what else when it comes to nothing."""
