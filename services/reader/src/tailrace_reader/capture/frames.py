"""Frames of a COPY BOTH stream, in one buffer, by where they begin. Pure.

A frame is a CopyData message that holds XLogData: ``d``, length, ``w``, three times 8 bytes, then one pgoutput message.
https://www.postgresql.org/docs/current/protocol-replication.html, https://www.postgresql.org/docs/current/protocol-message-formats.html
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

MESSAGE = 30
"""Where a frame's pgoutput message begins: 5 bytes of CopyData, 25 of XLogData."""
SPARE_BYTES = 4096
"""Kept free behind the last byte: readers may take whole windows that begin at the last field."""
READ_BYTES = 256 << 10
"""Least room that a read gets."""
_FIRST_BYTES = 1 << 20
_COPY_DATA, _XLOG_DATA, _KEEPALIVE = ord("d"), ord("w"), ord("k")
_LENGTH = struct.Struct(">I")
_HEAD = struct.Struct(">BIB")
_LSN = struct.Struct(">Q")


class Frames(NamedTuple):
    """Complete frames. ``data`` has SPARE_BYTES behind the last frame and is not changed any more up to its end."""

    data: bytearray
    starts: npt.NDArray[np.int64]
    end: int
    """Where the last frame ends."""

    def first(self, count: int) -> Frames:
        """The first frames of these."""
        if count >= len(self.starts):
            return self
        return Frames(self.data, self.starts[:count], int(self.starts[count]))

    @property
    def bytes(self) -> int:
        """Of all of them."""
        return self.end - int(self.starts[0]) if len(self.starts) else 0


class ServerMessage(NamedTuple):
    """Anything that is no CopyData: an error, a notice, the end of the stream."""

    tag: str
    body: bytes


class FrameTooLarge(Exception):
    """A frame above the limit: its row cannot travel. The stream cannot go on."""

    def __init__(self, length: int) -> None:
        super().__init__(f"{length} bytes")
        self.bytes = length


class FrameBuffer:
    """Collects what the server sends.

    - ``room`` gives memory to read into, ``filled`` takes what was read into it.
    - Frames stay until ``drop``; ``held`` bytes are bounded by whoever reads, with one frame and one read on top.
    - Views that were handed out stay as they are: memory is replaced, never moved or overwritten.
    """

    def __init__(self, frame_bytes: int) -> None:
        self._limit = frame_bytes
        self._data = bytearray(_FIRST_BYTES + SPARE_BYTES)
        self._begin = 0
        """Where the first frame in hand, or what has not been scanned, begins."""
        self._scanned = 0
        self._filled = 0
        self._starts: list[int] = []
        self.server: list[ServerMessage] = []
        """Messages that are no frames, in order; whoever reads them clears them."""
        self.keepalive_lsn = 0
        """WAL up to here is decoded: whatever of it is published was sent before."""
        self.reply_wanted = False

    def __len__(self) -> int:
        return len(self._starts)

    @property
    def held(self) -> int:
        """Bytes of the frames in hand."""
        return self._scanned - self._begin

    def room(self) -> memoryview:
        """Where the next bytes go."""
        if len(self._data) - SPARE_BYTES - self._filled < READ_BYTES:
            self._renew()
        return memoryview(self._data)[self._filled : len(self._data) - SPARE_BYTES]

    def filled(self, size: int) -> None:
        """That many bytes have come. Raises FrameTooLarge."""
        self._filled += size
        data, end, at = self._data, self._filled, self._scanned
        head, add = _HEAD.unpack_from, self._starts.append
        while at + 5 <= end:  # the byte behind a message without a body is spare
            tag, length, kind = head(data, at)
            after = at + 1 + length
            if after > end:
                if length >= self._limit:
                    raise FrameTooLarge(length + 1)
                break
            if tag == _COPY_DATA and kind == _XLOG_DATA:
                add(at)
            else:
                self._other(at, after)
            at = after
        self._scanned = at
        if not self._starts:
            self._begin = at

    def frames(self, limit: int | None = None) -> Frames:
        """Frames in hand, the first ``limit`` of them."""
        if limit is None or limit >= len(self._starts):
            return Frames(self._data, np.array(self._starts, np.int64), self._scanned)
        return Frames(self._data, np.array(self._starts[:limit], np.int64), self._starts[limit])

    def drop(self, count: int) -> None:
        """Forget the first frames."""
        del self._starts[:count]
        self._begin = self._starts[0] if self._starts else self._scanned

    def _other(self, at: int, after: int) -> None:
        if self._data[at] != _COPY_DATA:
            self.server.append(ServerMessage(chr(self._data[at]), bytes(self._data[at + 5 : after])))
        elif self._data[at + 5] == _KEEPALIVE:
            self.keepalive_lsn = _LSN.unpack_from(self._data, at + 6)[0]
            self.reply_wanted |= self._data[at + 22] == 1

    def _renew(self) -> None:
        """Memory of its own for what is in hand, and room for the frame that is coming in."""
        pending = 0
        if self._filled - self._scanned >= 5:
            pending = 1 + int(_LENGTH.unpack_from(self._data, self._scanned + 1)[0]) - (self._filled - self._scanned)
        kept = self._filled - self._begin
        renewed = bytearray(kept + max(pending, _FIRST_BYTES) + READ_BYTES + SPARE_BYTES)
        renewed[:kept] = memoryview(self._data)[self._begin : self._filled]
        self._data = renewed
        self._starts[:] = [start - self._begin for start in self._starts]
        self._scanned -= self._begin
        self._filled -= self._begin
        self._begin = 0
