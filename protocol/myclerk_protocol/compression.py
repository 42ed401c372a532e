"""Payload compression: one zstd frame per payload (docs/protocol.md, Compression).

``zstandard`` is imported when first needed, so that the protocol works without it.
"""

from __future__ import annotations

import importlib.util
from types import ModuleType
from typing import TYPE_CHECKING

from .status import BadRequest, LocalError

if TYPE_CHECKING:
    from zstandard import ZstdCompressor, ZstdDecompressor

MINIMUM_SIZE = 1024
"""Payloads below this many bytes are never compressed."""

LEVEL = 1
"""zstd's fastest ordinary level: the data is on its way through a bus, which waits meanwhile."""

# Idle contexts. Making one costs ten times what compressing a kilobyte does, but each serves one call at a
# time; taking it off the list (atomic) is what keeps two threads from sharing one.
_compressors: list[ZstdCompressor] = []
_decompressors: list[ZstdDecompressor] = []


def available() -> bool:
    """Whether the zstandard library is installed, so that capability 1 (zstd) may be negotiated."""
    return importlib.util.find_spec("zstandard") is not None


def _library() -> ModuleType:
    try:
        import zstandard
    except ImportError:
        raise LocalError("compression needs the Python package zstandard, which is not installed") from None
    return zstandard


def compress(payload: bytes | memoryview) -> bytes:
    """The payload as one zstd frame with its content size, without dictionary and checksum.

    Raises LocalError for a payload below 1,024 bytes and when zstandard is not installed.
    """
    if len(payload) < MINIMUM_SIZE:
        raise LocalError(f"a payload of {len(payload)} bytes is not compressed, {MINIMUM_SIZE} are the least")
    zstandard = _library()
    compressor = _compressors.pop() if _compressors else zstandard.ZstdCompressor(level=LEVEL)
    try:
        return compressor.compress(payload)
    finally:
        _compressors.append(compressor)


def decompress(payload: bytes | memoryview, limit: int) -> bytes:
    """What a compressed payload holds: 1,024 to ``limit`` bytes.

    The frame's header is judged before anything is allocated. Raises BadRequest for anything but one whole
    zstd frame with a content size in range and no dictionary, nothing behind it; LocalError when zstandard
    is not installed.
    """
    zstandard = _library()
    _check_frame(zstandard, payload, limit)
    decompressor = _decompressors.pop() if _decompressors else zstandard.ZstdDecompressor()
    try:
        content: bytes = decompressor.decompress(payload, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise BadRequest(f"the compressed payload is not one whole zstd frame: {error}") from None
    finally:
        _decompressors.append(decompressor)
    return content


def _check_frame(zstandard: ModuleType, payload: bytes | memoryview, limit: int) -> None:
    # The magic number tells a frame from a skippable frame, whose "content size" means something else.
    if payload[:4] != zstandard.FRAME_HEADER:
        raise BadRequest("the compressed payload does not begin with a zstd frame")
    try:
        parameters = zstandard.get_frame_parameters(payload)
    except zstandard.ZstdError as error:
        raise BadRequest(f"the compressed payload has no readable zstd header: {error}") from None
    if parameters.content_size == zstandard.CONTENTSIZE_UNKNOWN:
        raise BadRequest("the compressed payload does not say its content size")
    if parameters.content_size > limit:
        raise BadRequest(f"the compressed payload holds {parameters.content_size} bytes, above {limit}")
    if parameters.content_size < MINIMUM_SIZE:
        raise BadRequest(f"payloads below {MINIMUM_SIZE} bytes are not compressed")
    if parameters.dict_id:
        raise BadRequest("the compressed payload needs a dictionary, and none is ever used")
