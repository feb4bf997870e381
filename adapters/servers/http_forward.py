"""`HttpForwarder`: passes HTTP requests on to the server, those with audio files enhanced, within limits of time."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qsl, urlencode

import aiohttp
from aiohttp import web

from gtcrn_frontend.adapters.servers.forms import enhanced_form
from gtcrn_frontend.adapters.servers.limits import BusyError, ByteBudget, SlowError, TooLongError
from gtcrn_frontend.adapters.servers.log_limits import RepeatLimit
from gtcrn_frontend.adapters.servers.session import Service
from gtcrn_frontend.adapters.servers.settings import ProxySettings
from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.errors import AudioFormatError

logger = logging.getLogger(__name__)
logger.addFilter(RepeatLimit())

ENHANCED_PATHS = ("/audio/transcriptions", "/audio/translations")

# RFC 9110, 7.6.1, and what aiohttp sets.
_HOP_BY_HOP = {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer"} | {
    "transfer-encoding", "upgrade", "host", "content-length",
}  # fmt: skip
_OWN_QUERY = ("strength", "token")


class HttpForwarder:
    """Sends requests to the server, and passes on its answers.

    Args:
        settings: those of the proxy.
        service: resources shared by all requests.
        base: address of the server, `http://...`.
        upstream_tls: TLS settings for it; None without TLS.
    """

    def __init__(
        self, settings: ProxySettings, service: Service, base: str, upstream_tls: ssl.SSLContext | None
    ) -> None:
        self._settings = settings
        self._service = service
        self._base = base
        self._upstream_tls = upstream_tls
        self._held = ByteBudget(settings.max_upload_bytes)
        # The time limits are those of `_send`; as many connections as there may be requests.
        self._client = aiohttp.ClientSession(
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=settings.connect_seconds),
            cookie_jar=aiohttp.DummyCookieJar(),
            connector=aiohttp.TCPConnector(limit=settings.max_connections),
        )

    async def close(self) -> None:
        """Closes the connections to the server."""
        await self._client.close()

    async def forward(self, request: web.BaseRequest, enhancer: EnhancerConfig) -> web.StreamResponse:
        """Sends a request to the server, with its files enhanced; returns the answer, which has been passed on."""
        headers = [(n, v) for n, v in request.headers.items() if n.lower() not in _HOP_BY_HOP]
        if self._settings.token_file is not None:  # that of the proxy
            headers = [(n, v) for n, v in headers if n.lower() != "authorization"]
        if request.method != "POST" or not request.path.endswith(ENHANCED_PATHS):
            return await self._send(request, headers, None)
        headers = [(n, v) for n, v in headers if n.lower() not in ("content-type", "content-encoding")]
        with self._held.request() as hold:
            try:
                form = await enhanced_form(request, self._service, self._settings, enhancer, hold)
            except TooLongError as error:
                return problem(413, str(error))
            except SlowError as error:
                return problem(408, str(error))
            except BusyError as error:
                return problem(503, str(error), {"Retry-After": "1"})
            except (AudioFormatError, ValueError) as error:
                return problem(400, str(error))
            return await self._send(request, headers, form)

    async def _send(
        self, request: web.BaseRequest, headers: list[tuple[str, str]], form: aiohttp.MultipartWriter | None
    ) -> web.StreamResponse:
        shown, silence_s = self._settings.upstream_shown, self._settings.answer_seconds
        body = _Body(request, self._settings) if form is None and request.body_exists else None
        try:
            async with asyncio.timeout(silence_s) as limit:
                if body is not None:
                    body.limit = limit
                answer = await self._client.request(
                    request.method,
                    self._base + path_of(request),
                    headers=headers,
                    data=form if body is None else body,
                    ssl=self._upstream_tls or True,
                    allow_redirects=False,
                )
        except (aiohttp.ClientError, TimeoutError) as error:
            if body is not None and body.is_slow:
                return problem(408, f"expected no pause of {self._settings.idle_seconds:g} s within a request")
            if isinstance(error, aiohttp.ClientError):  # that of a connection which takes too long is both
                logger.warning("cannot reach the recogniser at %s: %s", shown, error)
                return problem(502, "the recogniser behind the proxy is not reachable")
            logger.warning("the recogniser at %s has not answered for %g s", shown, silence_s)
            return problem(504, f"the recogniser behind the proxy has not answered for {silence_s:g} s")
        finally:
            if body is not None:
                body.limit = None
        async with answer:
            return await self._pass_on(request, answer)

    async def _pass_on(self, request: web.BaseRequest, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        settings = self._settings
        response = web.StreamResponse(status=answer.status, reason=answer.reason)
        for name, value in answer.headers.items():
            if name.lower() not in _HOP_BY_HOP:
                response.headers.add(name, value)
        await response.prepare(request)
        while True:
            try:
                async with asyncio.timeout(settings.answer_seconds):
                    piece = await answer.content.readany()
            except (aiohttp.ClientError, TimeoutError) as error:
                why = str(error) or f"nothing for {settings.answer_seconds:g} s"
                logger.warning("the recogniser at %s has not ended its answer: %s", settings.upstream_shown, why)
                return _cut(request, response)
            try:
                async with asyncio.timeout(settings.idle_seconds):
                    if not piece:
                        await response.write_eof()
                        return response
                    await response.write(piece)
            except (ConnectionError, TimeoutError):
                logger.info("a client has not taken its answer")
                return _cut(request, response)


class _Body:
    """The body of a request on its way, whose client may not pause for `idle_seconds`.

    Attributes:
        limit: of the time that the server has to answer, which does not run while the client is awaited.
        is_slow: whether the client has paused too long.
    """

    def __init__(self, request: web.BaseRequest, settings: ProxySettings) -> None:
        self._content = request.content
        self._settings = settings
        self.limit: asyncio.Timeout | None = None
        self.is_slow = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            self._set_limit(None)
            try:
                async with asyncio.timeout(self._settings.idle_seconds):
                    piece = await self._content.readany()
            except TimeoutError:
                self.is_slow = True
                raise
            self._set_limit(asyncio.get_running_loop().time() + self._settings.answer_seconds)
            if not piece:
                return
            yield piece

    def _set_limit(self, when_s: float | None) -> None:
        if self.limit is not None and not self.limit.expired():
            self.limit.reschedule(when_s)


def path_of(request: web.BaseRequest) -> str:
    """Returns path and query of a request, without the proxy's own parameters."""
    query = [(name, value) for name, value in parse_qsl(request.query_string, True) if name not in _OWN_QUERY]
    return request.rel_url.raw_path + (f"?{urlencode(query)}" if query else "")


def _cut(request: web.BaseRequest, response: web.StreamResponse) -> web.StreamResponse:
    """Closes the connection of a request whose answer has begun: it is too late for another status."""
    if request.transport is not None:
        request.transport.abort()
    return response


def problem(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    """Returns an error in OpenAI's form."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    error: dict[str, Any] = {"message": message, "type": kind, "param": None, "code": None}
    return web.json_response({"error": error}, status=status, headers=headers)
