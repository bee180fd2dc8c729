"""The real thing: `Bus` and `Store` over nats-py 2.16 and a nats-server from 2.12.6 on.

Of nats-py we use what it does well: connecting, TLS, credentials, reconnecting, keeping a pool of servers. `client` takes
over everything between the socket and a handler; JetStream is spoken by its own API messages (`api`, `feed`, `consumer`),
because nats-py's versions of those have the defects that are worked around here.
"""
