"""What operators decide while everything runs: kill switches, flags, rate limits, tenant shares.

`policy.py` watches the bucket, `board.py` knows what it says, `switches.py` answers who is killed; `limiter.py` draws on the
rate limits. Shapes and keys are in `mesh.protocols.policies`.
"""
