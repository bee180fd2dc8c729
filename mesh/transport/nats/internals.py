"""Parts of nats-py that it does not promise: the fast wire needs them, and `guard` sees to it when they are not there."""

from __future__ import annotations

import mesh.transport.nats.library  # noqa: F401 - loads nats-py in the way we want it loaded

from nats.aio.subscription import Subscription  # isort: skip
from nats.aio.transport import Transport  # isort: skip

__all__ = ["Subscription", "Transport"]
