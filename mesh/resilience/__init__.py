"""Deadlines, retries, breakers: what stands between a call and the trouble at its other end.

Pure decisions (`breaker`, `retry`'s rules, `budget`) are apart from what waits (`deadline.enforce`, `pipeline.repeat`).
"""
