"""Orders, prices and stock."""
