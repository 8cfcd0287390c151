"""A change record: whole source transactions in commit order, or a piece of one, as one Kafka message.

The headers (``head``) are the associated data of the encryption. The body (``body``) is a list of control entries (``controls``)
and one Arrow stream per table (``rows``). Reader, generator and writer import this contract; nothing else reads or writes it.
"""

from tailrace_shared.changes.body import Body, decode_body, encode_body
from tailrace_shared.changes.controls import (
    ColumnAdded,
    ColumnDropped,
    ColumnRenamed,
    ColumnRetyped,
    Control,
    Heartbeat,
    IdentityChanged,
    Marker,
    RelationChanged,
    TableRenamed,
    TableReplaced,
    Truncated,
)
from tailrace_shared.changes.head import (
    CONTENT_TYPE,
    VERSION,
    ChangeHead,
    ChangeKind,
    change_head_of,
    headers_of_change,
)
from tailrace_shared.changes.rows import DELETE, INSERT, UPDATE, ChangeRows, change_batch

__all__ = [
    "CONTENT_TYPE",
    "DELETE",
    "INSERT",
    "UPDATE",
    "VERSION",
    "Body",
    "ChangeHead",
    "ChangeKind",
    "ChangeRows",
    "ColumnAdded",
    "ColumnDropped",
    "ColumnRenamed",
    "ColumnRetyped",
    "Control",
    "Heartbeat",
    "IdentityChanged",
    "Marker",
    "RelationChanged",
    "TableRenamed",
    "TableReplaced",
    "Truncated",
    "change_batch",
    "change_head_of",
    "decode_body",
    "encode_body",
    "headers_of_change",
]
