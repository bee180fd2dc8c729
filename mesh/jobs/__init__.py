"""Durable jobs: taken in, claimed by a peer, journaled before anything is done, and followed to their end.

The walk: `ingress` → `admission` → `owner` → `run` → `steps` → `journal`; `submission` and `listing` are what clients use.
"""
