"""Durable jobs: taken in, claimed by a peer, journaled before anything is done, and followed to their end.

The walk: `ingress` → `admission` → `owner` → `run` → `steps` → `journal`; `submission` and `listing` are what clients use.

`authoring`: what a team writes · `outside`: a job as clients see it · `intake`: from a message to a job · `owning`: whose a job is ·
`running`: one run · `steps` · `waiting` · `journals` · `replay`: the past held against the present. `host` puts them together.
"""
