"""What happened: told, heard, and given up when nobody can use it."""
