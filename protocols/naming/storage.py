"""Names of streams, buckets and object stores: `mesh_<namespace>_…`, since NATS allows no dots there."""

from __future__ import annotations

from mesh.protocols.naming.names import check_token
from mesh.protocols.naming.root import Root


class StorageNames(Root):
    """What the stores of a mesh are called."""

    def stream(self, name: str) -> str:
        """The name of a stream, such as `mesh_default_EVT`."""
        return f"mesh_{self.namespace}_{check_token(name, 'stream')}"

    def job_stream(self, shard: str) -> str:
        """The name of a shard's stream of journals, such as `mesh_default_JOB_0`."""
        return self.stream(f"JOB_{shard}")

    def bucket(self, name: str) -> str:
        """The name of a key-value bucket or object store, such as `mesh_default_registry`."""
        return f"mesh_{self.namespace}_{check_token(name, 'bucket')}"
