"""Where the server is, and where this folder keeps its things.

Below: only the standard library and `protocols`. Above: `server` starts what is found missing here, `transport` connects
to a `ServerTarget`. Settings follow the NATS command line: context files, NATS_URL, NATS_CONTEXT, NATS_CREDS and the rest.
Reading is all that happens here; nothing is connected to, and nothing but `MeshFolder.create` writes.
"""
