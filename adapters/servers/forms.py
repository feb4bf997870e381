"""Forms of OpenAI's interface, whose audio file is enhanced on the way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

import aiohttp
from aiohttp import web

from gtcrn_frontend.adapters.servers.limits import SlowError, TooLongError
from gtcrn_frontend.adapters.servers.log_limits import RepeatLimit
from gtcrn_frontend.adapters.servers.session import Service
from gtcrn_frontend.adapters.servers.settings import ProxySettings
from gtcrn_frontend.adapters.servers.uploads import UploadedFile, enhance_file
from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.errors import AudioFormatError, ConfigError

logger = logging.getLogger(__name__)
logger.addFilter(RepeatLimit())

MOST_FIELDS = 100


@dataclass(frozen=True)
class _Field:
    name: str
    file: UploadedFile
    is_file: bool


async def enhanced_form(
    request: web.BaseRequest,
    service: Service,
    settings: ProxySettings,
    enhancer: EnhancerConfig,
    hold: Callable[[int], None],
) -> aiohttp.MultipartWriter:
    """Returns the form of a request with its files enhanced.

    Args:
        request: with the form as its body.
        service, settings: those of the proxy.
        enhancer: settings for this request.
        hold: called with bytes that are kept in memory, before they are.

    Raises:
        ValueError: it is no form.
        TooLongError: it is too large, or the audio too long.
        SlowError: it does not come within the time limits.
        BusyError: of `hold`.
        AudioFormatError: a file cannot be enhanced, and `on_error` is `raise`.
    """
    if request.content_type != "multipart/form-data":
        raise ValueError(f"expected a form, multipart/form-data, got {request.content_type}")
    form = aiohttp.MultipartWriter("form-data")
    for field in await _received(request, settings, hold):
        file = await _enhanced(field.file, service, settings, enhancer, hold) if field.is_file else field.file
        payload = form.append(file.data, {"Content-Type": file.media_type} if file.media_type else None)
        names = {"name": field.name} | ({"filename": file.name} if file.name else {})
        payload.set_content_disposition("form-data", quote_fields=False, **names)
    return form


async def _received(request: web.BaseRequest, settings: ProxySettings, hold: Callable[[int], None]) -> list[_Field]:
    """Reads a form within the limits of size and time."""
    now_s, fields, left = asyncio.get_running_loop().time, [], settings.max_file_bytes
    end_s = now_s() + settings.upload_seconds
    try:
        async with asyncio.timeout_at(min(end_s, now_s() + settings.idle_seconds)) as limit:
            reader = await request.multipart()
            while (part := await reader.next()) is not None:
                if not isinstance(part, aiohttp.BodyPartReader):
                    raise ValueError("expected a form without forms in it")
                data = bytearray()
                while piece := await part.read_chunk():
                    limit.reschedule(min(end_s, now_s() + settings.idle_seconds))
                    left -= len(piece)
                    if left < 0:
                        raise TooLongError(f"expected a request of at most {settings.max_file_bytes} bytes")
                    hold(len(piece))
                    data += piece
                fields.append(_field(part, data))
                if len(fields) > MOST_FIELDS:
                    raise ValueError(f"expected a form of at most {MOST_FIELDS} fields")
    except TimeoutError:
        raise SlowError(
            f"expected the whole request within {settings.upload_seconds:g} s, and no pause of "
            f"{settings.idle_seconds:g} s in it"
        ) from None
    return fields


def _field(part: aiohttp.BodyPartReader, data: bytearray) -> _Field:
    try:
        content = bytes(part.decode(data))
    except RuntimeError as error:  # aiohttp: an encoding that it does not know
        raise ValueError(str(error)) from error
    file = UploadedFile(part.filename or "", part.headers.get("Content-Type", ""), content)
    return _Field(part.name or "", file, part.filename is not None)


async def _enhanced(
    file: UploadedFile,
    service: Service,
    settings: ProxySettings,
    enhancer: EnhancerConfig,
    hold: Callable[[int], None],
) -> UploadedFile:
    try:
        return await enhance_file(file, service.pool, service.metrics, enhancer, settings.max_stream_seconds, hold)
    except (AudioFormatError, ConfigError) as error:  # ConfigError: its rate or channels
        if settings.on_error == "raise":
            raise AudioFormatError(str(error)) from error
        logger.warning("a file passes on as it is: %s", error)
        service.metrics.passed_streams.inc()
        return file
