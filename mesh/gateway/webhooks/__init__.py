"""Webhooks: a POST to whoever asked for it, once a job is over. At least once, whatever dies meanwhile.

registered   `hook.py`, `ledger.py`   in a file bucket, before the job is handed in
noticed      `watchman.py`            the job is followed, and looked at again from time to time
claimed      `ledger.py`              by one of the gateways, by compare-and-set
sent         `courier.py`, `sender.py`, `signing.py`, `targets.py`
"""
