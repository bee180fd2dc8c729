"""Keeping what is kept: backup and restore, archives, sweeping what nobody names, erasing a tenant.

Everything here is done once, by whoever is asked to (a person, cron), beside the running mesh; nothing runs by itself.
"""
