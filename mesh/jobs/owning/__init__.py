"""Whose a job is: finding jobs that need an owner, claiming them in fair order, holding them, handing them back."""
