"""The transport of a client, which is made when it is first needed, and made again when the server has moved."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import weakref
from collections.abc import AsyncIterator, Iterator
from typing import Protocol

from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc._gen.runagent.v1 import call_pb2
from runagent_grpc.client.config import ClientConfig
from runagent_grpc.client.discovery import find_again, find_server
from runagent_grpc.client.grpc_aio import AsyncGrpcTransport
from runagent_grpc.client.grpc_sync import GrpcTransport
from runagent_grpc.client.idle_watchdog import IdleWatchdog
from runagent_grpc.client.retry import PeerStatus
from runagent_grpc.client.stream import cancel_request_of
from runagent_grpc.client.transport_aio import AsyncTransport
from runagent_grpc.client.transport_sync import Transport
from runagent_grpc.errors import InvalidRequestError, RunAgentError

__all__ = ["AsyncConnection", "Connection", "ServerLocator"]

# A server that is restarted is back at its old address, most likely; one that is not gets looked for.
_FAILURES_BEFORE_LOOKING = 3


class ServerLocator:
    """Knows where a client's server is, and what to speak there, as far as it was looked for."""

    def __init__(self, config: ClientConfig) -> None:
        self.api_key = config.api_key
        self.found = config.address
        """Where the server is, and what it speaks, once it was looked for."""
        self.contact = PeerStatus.NONE
        """What was had of the server."""
        self._address = config.address
        self._lookup = config.lookup
        self._timeout = config.call.timeout

    def find(self) -> None:
        """Looks for the server. Asks over the network."""
        # Leases may have been written since the client was made.
        address = self._address if self._address.local is None else self._lookup()
        self.found = find_server(address, self.api_key, timeout=self._timeout)
        if self.found.resumable is not None:
            self.contact = PeerStatus.ANSWER

    def remember(self, contact: PeerStatus) -> None:
        """Takes note of what a transport that is given up has had of the server, for the next one."""
        self.contact = contact

    @property
    def shares_connections(self) -> bool:
        """Whether its streams share one. Over HTTP each has its own."""
        return self.found.transport != "http"

    def moved(self) -> bool:
        """Looks for the server again. Returns whether it is somewhere else, and speaks what it spoke before."""
        found = find_again(self._address, self._lookup, self.api_key)
        if found is None or found == self.found or found.transport != self.found.transport:
            return False
        self.found = found
        return True


class Connection:
    """The transport for code that blocks. Threads may share it."""

    def __init__(self, server: ServerLocator) -> None:
        self._server = server
        # Reentrant: a signal's handler may call, too.
        self._lock = threading.RLock()
        self._transport: Transport | None = None
        self.watchdog = IdleWatchdog()
        """Watches the streams on the connection."""
        self._attended: dict[int, pb.CancelInvocationRequest | None] = {}
        """By the calls that somebody waits for: what cancels them."""

    def transport(self) -> Transport:
        """Returns the transport, connecting if need be: of threads that come at once, the first does."""
        with self._lock:
            if self._transport is None:
                self._server.find()
                self._transport = self._made()
            return self._transport

    def after(self, transport: Transport, failures: int, *, silent: bool = False) -> Transport:
        """Returns what to use after so many failures of this transport.

        It is another one if the server has moved, or if what this one is connected to is `silent`. Who uses the old
        one still, finds out by themselves.
        """
        with self._lock:
            silent = silent and self._server.shares_connections
            if self._transport is transport and (silent or self._moved_after(failures)):
                self._server.remember(transport.contact)
                self._transport = self._made()
            # One that was closed says so to whoever uses it still.
            return self._transport or transport

    def _moved_after(self, failures: int) -> bool:
        return failures >= _FAILURES_BEFORE_LOOKING and self._server.moved()

    @contextlib.contextmanager
    def attending(self, call: call_pb2.Call) -> Iterator[None]:
        """Cancels the call if its caller is interrupted within the block, or closes the client."""
        cancel_request = cancel_request_of(call)
        self._attended[id(call)] = cancel_request
        try:
            yield
        except RunAgentError:
            raise
        except BaseException:
            self._send_cancel(cancel_request)
            raise
        finally:
            del self._attended[id(call)]

    def close(self) -> None:
        """Closes the streams, and the transport, if there is one."""
        for stream in self.watchdog.streams():
            stream.on_client_closed()
        with self._lock:
            transport, self._transport = self._transport, None
        if transport is not None:
            for cancel_request in list(self._attended.values()):
                if cancel_request is not None:
                    transport.send_cancel(cancel_request)
            self._server.remember(transport.contact)
            transport.close()

    def _send_cancel(self, cancel_request: pb.CancelInvocationRequest | None) -> None:
        if cancel_request is not None and self._transport is not None:
            self._transport.send_cancel(cancel_request)

    def _made(self) -> Transport:
        server = self._server
        if server.found.transport == "http":
            # Most callers speak gRPC, and need not wait for an HTTP library to load.
            from runagent_grpc.client.http_sync import HttpTransport

            return HttpTransport(server.found, server.api_key, contact=server.contact)
        return GrpcTransport(server.found, server.api_key, contact=server.contact)


class AsyncClosable(Protocol):
    """A stream, as far as its connection is concerned."""

    async def on_client_closed(self) -> None:
        """Ends the stream together with its client."""


class AsyncConnection:
    """The transport for the event loop that it is first used on."""

    def __init__(self, server: ServerLocator) -> None:
        self._server = server
        self._transport: AsyncTransport | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._streams: weakref.WeakSet[AsyncClosable] = weakref.WeakSet()
        self._attended: dict[int, pb.CancelInvocationRequest | None] = {}
        """By the calls that somebody waits for: what cancels them."""

    def add(self, stream: AsyncClosable) -> None:
        """Closes a stream together with the transport, unless it is dropped before."""
        self._streams.add(stream)

    async def transport(self) -> AsyncTransport:
        """Returns the transport, connecting if need be. Raises InvalidRequestError on another loop than the first."""
        loop = asyncio.get_running_loop()
        if self._transport is None:
            await asyncio.to_thread(self._server.find)
            # Whoever came first while this one asked has connected already.
            if self._transport is None:
                self._transport, self._loop = self._made(), loop
        if self._loop is not loop:
            raise InvalidRequestError(
                "The client belongs to another event loop, the one that it was first used on.",
                suggestion="Make a client for each asyncio.run, or close it (`await client.close()`) before the next.",
            )
        return self._transport

    async def after(self, transport: AsyncTransport, failures: int, *, silent: bool = False) -> AsyncTransport:
        """Returns what to use after so many failures of this transport.

        It is another one if the server has moved, or if what this one is connected to is `silent`. Who uses the old
        one still, finds out by themselves.
        """
        lookable = self._transport is transport and failures >= _FAILURES_BEFORE_LOOKING
        moved = lookable and await asyncio.to_thread(self._server.moved)
        # Whoever came first while this one asked has made another already.
        if self._transport is transport and (moved or (silent and self._server.shares_connections)):
            self._server.remember(transport.contact)
            self._transport = self._made()
        # One that was closed says so to whoever uses it still.
        return self._transport or transport

    @contextlib.asynccontextmanager
    async def attending(self, call: call_pb2.Call) -> AsyncIterator[None]:
        """Cancels the call if its task is cancelled within the block, or the client is closed."""
        cancel_request = cancel_request_of(call)
        self._attended[id(call)] = cancel_request
        try:
            yield
        except RunAgentError:
            raise
        except BaseException:
            if cancel_request is not None and self._transport is not None:
                await self._transport.send_cancel(cancel_request)
            raise
        finally:
            del self._attended[id(call)]

    async def close(self) -> None:
        """Closes the streams, and the transport, if there is one."""
        transport, self._transport = self._transport, None
        if transport is not None:
            self._server.remember(transport.contact)
            # On another loop there is nothing left to close: the connection ended with its own.
            if self._loop is asyncio.get_running_loop():
                ending = [stream.on_client_closed() for stream in list(self._streams)]
                ending += [
                    transport.send_cancel(cancel_request)
                    for cancel_request in self._attended.values()
                    if cancel_request is not None
                ]
                await asyncio.gather(*ending, return_exceptions=True)
                await transport.close()

    def _made(self) -> AsyncTransport:
        server = self._server
        if server.found.transport == "http":
            # Most callers speak gRPC, and need not wait for an HTTP library to load.
            from runagent_grpc.client.http_aio import AsyncHttpTransport

            return AsyncHttpTransport(server.found, server.api_key, contact=server.contact)
        return AsyncGrpcTransport(server.found, server.api_key, contact=server.contact)
