"""The mesh over HTTP: hand jobs in, look at them, follow them, be called back. `mesh gateway http` runs it.

A gateway is a client of the mesh like any other: it owns nothing, and several of them may stand side by side. aiohttp is
loaded only where one runs.
"""
