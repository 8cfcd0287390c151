"""What is sealed opens with its own key and context only, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from tailrace_shared.envelope import OVERHEAD_BYTES, DataCipher, TransportKey
from tailrace_shared.errors import TerminalError, UsageError

SECRET = "a transport key for tests"
KEY = TransportKey.of(SECRET)
DATA = DataCipher(bytes(range(32)))


@settings(max_examples=50)
@given(st.binary(max_size=2000), st.binary(max_size=200))
def test_a_batch_opens_to_what_was_sealed_from_any_buffer(data: bytes, aad: bytes) -> None:
    sealed = DATA.seal(memoryview(data), aad)
    assert len(sealed) == len(data) + OVERHEAD_BYTES
    assert DATA.open(sealed, aad) == data
    assert DATA.open(memoryview(bytes(sealed)), aad) == data
    if len(data) > 8:
        assert data not in bytes(sealed)


@settings(max_examples=50)
@given(st.binary(max_size=100), st.data())
def test_any_changed_bit_header_or_key_is_noticed(data: bytes, draw: st.DataObject) -> None:
    sealed = DATA.seal(data, b"headers")
    at = draw.draw(st.integers(0, len(sealed) * 8 - 1))
    broken = bytearray(sealed)
    broken[at // 8] ^= 1 << at % 8
    for attempt in (
        lambda: DATA.open(broken, b"headers"),
        lambda: DATA.open(sealed, b"other headers"),
        lambda: DataCipher(bytes(32)).open(sealed, b"headers"),
        lambda: DATA.open(sealed[: draw.draw(st.integers(0, len(sealed) - 1))], b"headers"),
    ):
        with pytest.raises(TerminalError) as caught:
            attempt()
        assert caught.value.code == "batch.sealed"


def test_the_same_batch_never_looks_the_same_twice() -> None:
    assert len({bytes(DATA.seal(b"x" * 100, b"")) for _ in range(100)}) == 100


def test_a_data_key_travels_wrapped_and_a_text_sealed() -> None:
    data_key = DataCipher.new_key()
    wrapped = KEY.wrap(data_key, "run 1")
    assert wrapped.isascii()
    assert TransportKey.of(SecretStr(SECRET)).unwrap(wrapped, "run 1") == data_key
    sealed = KEY.seal("Müller < 4711", "run 1")
    assert "4711" not in sealed
    assert KEY.open(sealed, "run 1") == "Müller < 4711"


def test_a_wrong_key_context_or_kind_names_the_variable_to_correct() -> None:
    wrapped = KEY.wrap(bytes(32), "run 1")
    sealed = KEY.seal("text", "run 1")
    for attempt in (
        lambda: TransportKey.of("another transport key").unwrap(wrapped, "run 1"),
        lambda: KEY.unwrap(wrapped, "run 2"),
        lambda: KEY.unwrap(sealed, "run 1"),
        lambda: KEY.open(wrapped, "run 1"),
        lambda: KEY.unwrap("v1.!", "run 1"),
        lambda: KEY.unwrap("v1.", "run 1"),
        lambda: KEY.unwrap("", "run 1"),
        lambda: KEY.unwrap(wrapped + "ä", "run 1"),
    ):
        with pytest.raises(TerminalError) as caught:
            attempt()
        assert caught.value.code == "transport-key.wrong"
        assert "TAILRACE_TRANSPORT_KEY" in caught.value.remedy
        assert SECRET not in str(caught.value)


def test_a_transport_key_that_can_be_guessed_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        TransportKey.of("secret")
    assert caught.value.code == "transport-key.short"
    assert "secret" not in caught.value.message


def test_a_data_key_has_its_size() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        DataCipher(b"short")


def test_what_an_earlier_release_wrapped_still_opens() -> None:
    wrapped = "v1.46ejjH7dKN0z7DDdPfR-bO7LJ6pRpupe7LkMj0MpI6ur1TJhS64Fh9mMAXrzNkkTMS16Hchqeqhlk7iy"
    assert KEY.unwrap(wrapped, "run 1") == bytes(range(32))
