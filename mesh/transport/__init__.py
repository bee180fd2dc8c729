"""How messages are carried and kept: the ports `Bus` and `Store` over a real NATS server, and in memory.

`connection.connect` goes to a server; `memory.server.MemoryServer` is one. `tests/contract` holds both to the same
behaviour. nats-py is imported below here and nowhere else.
"""
