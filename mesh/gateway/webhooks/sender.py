"""`Sender`: one attempt. No redirects, no proxies, no cookies, bounded time, and nothing read but the status and headers."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Any
from weakref import WeakValueDictionary

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from mesh.gateway.webhooks.hook import Webhook
from mesh.gateway.webhooks.signing import signature
from mesh.gateway.webhooks.targets import Targets
from mesh.protocols.errors import Refused, Transient
from mesh.protocols.ports import Clock

TIMEOUT = 15.0
AT_ONCE = 32
AT_ONE_HOST = 4
"""Attempts at the same time, in all and at one host."""
LOOKED_UP_AT_ONCE = 2 * AT_ONCE
"""Names: a look-up goes on when its attempt has ended. Its threads are its own, for the server's name is looked up in those of
the loop when the connection to it is lost."""
GONE = 410


class NotTaken(Transient):
    """The receiver did not take it. `status` is what it answered, 0 if it answered nothing."""

    code = "not-taken"

    def __init__(self, message: str, *, status: int = 0, retry_after: float | None = None) -> None:
        super().__init__(message, retry_after=retry_after)
        self.status = status


class NeverTaken(Refused):
    """It cannot be sent there, and trying again would change nothing."""

    code = "never-taken"


class Sender:
    """For `async with`. `key` signs; `targets` says where messages may go."""

    def __init__(self, key: bytes, targets: Targets, clock: Clock, *, timeout: float = TIMEOUT) -> None:
        self._key = key
        self._targets = targets
        self._clock = clock
        self._timeout = timeout
        self._threads = ThreadPoolExecutor(LOOKED_UP_AT_ONCE, thread_name_prefix="webhook-names")
        self._at_once = asyncio.Semaphore(AT_ONCE)
        self._at_host: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._plain: aiohttp.ClientSession | None = None
        self._secure: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Sender:
        self._plain = self._session(plain=True)
        self._secure = self._session(plain=False)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for session in (self._plain, self._secure):
            if session is not None:
                await session.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def send(self, hook: Webhook, body: bytes) -> int:
        """Send it once; the status, which is 2xx.

        Raises:
            NotTaken: another status, or none. NeverTaken: it must not be sent there, or the receiver said that it is gone.
        """
        try:
            url = self._targets.check(hook.url)
            status, retry_after = await self._in_turn(url, hook, body)
        except Refused as error:
            raise NeverTaken(error.message) from None
        except UnicodeError as error:
            raise NeverTaken(f"{URL(hook.url).raw_host} cannot be looked up: {error}"[:300]) from None
        except TimeoutError:
            raise NotTaken(f"no answer within {self._timeout:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise NotTaken(f"{type(error).__name__}: {error}"[:300]) from None
        if 200 <= status < 300:
            return status
        if status == GONE:
            raise NeverTaken(f"the receiver answered {GONE}: it wants no more of these")
        raise NotTaken(f"the receiver answered {status}", status=status, retry_after=retry_after)

    async def _in_turn(self, url: URL, hook: Webhook, body: bytes) -> tuple[int, float | None]:
        """The time of an attempt begins with its place: waiting for those that hang is no failure of who comes behind them."""
        at_host = self._at_host.setdefault(url.raw_host or "", asyncio.Semaphore(AT_ONE_HOST))
        async with at_host, self._at_once:
            return await self._post(url, hook, body)

    async def _post(self, url: URL, hook: Webhook, body: bytes) -> tuple[int, float | None]:
        session = self._plain if url.scheme == "http" else self._secure
        assert session is not None, "the sender is used with `async with`"
        now = int(self._clock.now())
        headers = {
            "Content-Type": "application/json",
            "webhook-id": hook.message,
            "webhook-timestamp": str(now),
            "webhook-signature": signature(self._key, hook.message, now, body),
        }
        async with (
            asyncio.timeout(self._timeout),
            session.post(url, data=body, headers=headers, allow_redirects=False) as answer,
        ):
            return answer.status, _seconds(answer.headers.get("Retry-After", ""))

    def _session(self, *, plain: bool) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            resolver=_Resolver(self._targets, self._threads, plain=plain),
            limit=0,  # places are given before the time of an attempt begins
            use_dns_cache=False,
            force_close=True,
        )
        return aiohttp.ClientSession(
            connector=connector,
            headers={"User-Agent": "mesh-webhook/1"},
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        )


class _Resolver(AbstractResolver):
    """The usual resolver, with each address checked: what is connected to is what was checked."""

    def __init__(self, targets: Targets, threads: Executor, *, plain: bool) -> None:
        self._targets = targets
        self._threads = threads
        self._plain = plain

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        look_up = partial(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
        rows = await asyncio.get_running_loop().run_in_executor(self._threads, look_up)
        found = [_resolved(host, each) for each in rows]
        for each in found:
            self._targets.check_address(host, ipaddress.ip_address(each["host"].partition("%")[0]), plain=self._plain)
        return found

    async def close(self) -> None:
        """The threads are the sender's."""


def _resolved(host: str, row: tuple[Any, ...]) -> ResolveResult:
    """One row of `getaddrinfo`; a link-local address has its zone in it."""
    family, _, protocol, _, (address, port, *_) = row
    return ResolveResult(
        hostname=host, host=str(address), port=int(port), family=family, proto=protocol, flags=socket.AI_NUMERICHOST
    )


def _seconds(text: str) -> float | None:
    return float(text) if text.isascii() and text.isdigit() and len(text) < 7 else None
