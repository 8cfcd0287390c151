"""Is a broker ready? Asked in the protocol's own bytes, without a client library."""

from __future__ import annotations

import socket
import struct

from tailrace.embedded.ports import LOOPBACK

_METADATA_API_KEY, _API_VERSION, _CORRELATION_ID, _NO_CLIENT_ID, _NO_TOPICS = 3, 1, 1, -1, 0
_REPLY_HEAD_BYTES = 12  # size, correlation id, length of the broker array
_TIMEOUT_SECONDS = 1.0


def live_brokers(port: int) -> int:
    """How many brokers a Metadata v1 request lists: one that is still fenced is not among them.

    Once it lists the node, topics can be created. Plaintext listeners only. Returns 0 when nobody answers.
    Protocol: https://kafka.apache.org/protocol#The_Messages_Metadata
    """
    body = struct.pack(">hhihi", _METADATA_API_KEY, _API_VERSION, _CORRELATION_ID, _NO_CLIENT_ID, _NO_TOPICS)
    try:
        with socket.create_connection((LOOPBACK, port), timeout=_TIMEOUT_SECONDS) as connection:
            connection.sendall(struct.pack(">i", len(body)) + body)
            with connection.makefile("rb") as stream:
                reply = stream.read(_REPLY_HEAD_BYTES)
    except OSError:
        return 0
    return int(struct.unpack(">iii", reply)[2]) if len(reply) == _REPLY_HEAD_BYTES else 0
