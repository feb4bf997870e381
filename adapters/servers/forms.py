"""Forms of OpenAI's interface, whose audio file is enhanced on the way."""

from __future__ import annotations

import logging

import aiohttp
from aiohttp import web

from gtcrn_frontend.adapters.servers.limits import TooLongError
from gtcrn_frontend.adapters.servers.log_limits import RepeatLimit
from gtcrn_frontend.adapters.servers.session import Service
from gtcrn_frontend.adapters.servers.settings import ProxySettings
from gtcrn_frontend.adapters.servers.uploads import AudioFile, enhance_file
from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.errors import AudioFormatError, ConfigError

logger = logging.getLogger(__name__)
logger.addFilter(RepeatLimit())


async def enhanced_form(
    request: web.BaseRequest, service: Service, settings: ProxySettings, enhancer: EnhancerConfig
) -> aiohttp.MultipartWriter:
    """Returns the form of a request with its file enhanced.

    Raises:
        ValueError: it is no form.
        TooLongError: it is too large, or the audio too long.
        AudioFormatError: the file cannot be enhanced, and `on_error` is `raise`.
    """
    if request.content_type != "multipart/form-data":
        raise ValueError(f"expected a form, multipart/form-data, got {request.content_type}")
    form = aiohttp.MultipartWriter("form-data")
    left = settings.max_file_bytes
    async for part in await request.multipart():
        if not isinstance(part, aiohttp.BodyPartReader):
            raise ValueError("expected a form without forms in it")
        data = bytearray()
        while piece := await part.read_chunk():
            data += piece
            if len(data) > left:
                raise TooLongError(f"expected a request of at most {settings.max_file_bytes} bytes")
        left -= len(data)
        try:
            content = bytes(part.decode(data))
        except RuntimeError as error:  # aiohttp: an encoding that it does not know
            raise ValueError(str(error)) from error
        file = AudioFile(part.filename or "", part.headers.get("Content-Type", ""), content)
        if part.filename is not None:
            file = await _enhanced(file, service, settings, enhancer)
        payload = form.append(file.data, {"Content-Type": file.media_type} if file.media_type else None)
        names = {"name": part.name or ""} | ({"filename": file.name} if file.name else {})
        payload.set_content_disposition("form-data", quote_fields=False, **names)
    return form


async def _enhanced(file: AudioFile, service: Service, settings: ProxySettings, enhancer: EnhancerConfig) -> AudioFile:
    try:
        return await enhance_file(file, service.pool, service.metrics, enhancer, settings.max_stream_seconds)
    except (AudioFormatError, ConfigError) as error:  # ConfigError: its rate or channels
        if settings.on_error == "raise":
            raise AudioFormatError(str(error)) from error
        logger.warning("a file passes on as it is: %s", error)
        service.metrics.passed_streams.inc()
        return file
