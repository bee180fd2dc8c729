"""The real thing: `Bus` and `Store` over nats-py 2.16 and a nats-server from 2.12.6 on.

From the socket up: `socket` and its `inlet` push what arrives into `parser`, which calls the receiver of each message
(`replies` for answers, `subscriptions` for everything else); what is said goes through `outbox`. `fast` is that path as a
`Wire`; `client` is nats-py under it, which we use for what it does well: connecting, TLS, credentials, reconnecting,
keeping a pool of servers. `plain` is a `Wire` over nats-py alone, and `guard` chooses. `NatsBus` and everything above know
only the seam.

JetStream is spoken by its own API messages (`api`, `feed`, `consumer`), because nats-py's versions of those have the
defects that are worked around here.
"""
