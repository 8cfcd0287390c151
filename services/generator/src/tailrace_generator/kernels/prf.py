"""AES over whole arrays: ECB on blocks and CMAC (RFC 4493) on strings, never dependent on what lies beside a value."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC

Blocks = npt.NDArray[np.uint64]
"""Shape (n, 2): one AES block per row, its 16 bytes as two words in memory order."""
Bytes = npt.NDArray[np.uint8]
Offsets = npt.NDArray[np.int64]

LONG_BLOCKS = 64
"""Values of more blocks (1 KiB) are hashed one by one, in C: grouping them by length would gain nothing."""


class Aes:
    """One AES-128 key. Not thread-safe: each kernel has its own."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305 - a block cipher is wanted
        zero = int.from_bytes(self.block(bytes(16)), "big")
        k1 = _double(zero)
        k2 = _double(k1)
        keep = np.zeros((17, 16), np.uint8)
        flip = np.zeros((17, 16), np.uint8)
        for used in range(17):
            keep[used, :used] = 255
            last = k1 if used == 16 else k2 ^ (0x80 << 8 * (15 - used))
            flip[used] = np.frombuffer(last.to_bytes(16, "big"), np.uint8)
        self._keep, self._flip = keep.view("V16").reshape(17), flip.view("V16").reshape(17)

    def block(self, block: bytes) -> bytes:
        """One block."""
        return self._encryptor.update(block)

    def ecb(self, blocks: Blocks) -> Blocks:
        """Every block on its own; contiguous in, contiguous out."""
        size = blocks.nbytes
        out = np.empty(size + 15, np.uint8)  # the library asks for room for one block more, less a byte
        self._encryptor.update_into(blocks.data.cast("B") if size else b"", out.data)
        return out[:size].view(np.uint64).reshape(-1, 2)

    def cbc_mac(self, message: Iterable[bytes], start: bytes) -> bytes:
        """Last block of CBC over the pieces of one long message of whole blocks, from a chaining value."""
        encryptor = Cipher(algorithms.AES(self._key), modes.CBC(start)).encryptor()
        last = start
        for piece in message:
            last = encryptor.update(piece)[-16:] or last
        return last

    def cmac_pieces(self, message: Iterable[bytes]) -> Blocks:
        """The tag of one long message, shape (1, 2)."""
        mac = CMAC(algorithms.AES(self._key))
        for piece in message:
            mac.update(piece)
        return np.frombuffer(mac.finalize(), np.uint64).reshape(1, 2)

    def cmac(self, data: Bytes, offsets: Offsets) -> Blocks:
        """Tags of the n byte strings ``data[offsets[i]:offsets[i + 1]]``, shape (n, 2)."""
        starts, lengths = offsets[:-1], np.diff(offsets)
        tags = np.empty((len(lengths), 2), np.uint64)
        blocks = np.minimum(np.maximum((lengths + 15) >> 4, 1), LONG_BLOCKS + 1).astype(np.uint8)
        order = np.argsort(LONG_BLOCKS + 1 - blocks, kind="stable")  # longest first
        counts = np.bincount(blocks, minlength=LONG_BLOCKS + 2)
        for row in order[: counts[-1]]:
            tags[row] = self.cmac_pieces((data[offsets[row] : offsets[row + 1]].tobytes(),))
        order = order[counts[-1] :]
        if len(order):
            first, last = int(offsets[0]), int(offsets[-1])
            padded = np.zeros(last - first + 16, np.uint8)
            padded[: last - first] = data[first:last]
            state = self._cmac_rows(padded, starts[order] - first, lengths[order], counts[:-1])
            tags.view("V16").reshape(-1)[order] = state.view("V16").reshape(-1)  # one copy of 16 bytes per row
        return tags

    def _cmac_rows(self, padded: Bytes, at: Offsets, lengths: Offsets, counts: npt.NDArray[np.intp]) -> Blocks:
        """Tags of strings in descending order of their number of blocks; ``counts[k]`` of them have k blocks."""
        windows = np.ndarray((len(padded) - 15,), "V16", padded, strides=(1,))
        state = np.zeros((len(at), 2), np.uint64)
        active = len(at)
        for k in range(1, int(np.flatnonzero(counts)[-1]) + 1):
            chunk = _words(windows[at[:active] + 16 * (k - 1)])
            ending = active - int(counts[k])
            used = lengths[ending:active] - 16 * (k - 1)
            tail = chunk[ending:]
            tail &= _words(self._keep[used])
            tail ^= _words(self._flip[used])
            state[:active] = self.ecb(chunk if k == 1 else chunk ^ state[:active])
            active = ending
        return state


def _words(items: npt.NDArray[np.void]) -> Blocks:
    """16-byte items as blocks."""
    return items.view(np.uint64).reshape(-1, 2)


def _double(block: int) -> int:
    """Times x in GF(2¹²⁸), as RFC 4493 derives its subkeys."""
    return (block << 1 & (1 << 128) - 1) ^ (0x87 if block >> 127 else 0)
