"""AES over arrays: the vectors of RFC 4493, and what must never matter: neighbours, batch, order."""

from __future__ import annotations

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import algorithms
from cryptography.hazmat.primitives.cmac import CMAC
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace_generator.kernels.prf import Aes

KEY = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
MESSAGE = bytes.fromhex(
    "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
)
RFC_4493 = {
    0: "bb1d6929e95937287fa37d129b756746",
    16: "070a16b46b4d4144f79bdd9dd04a287c",
    40: "dfa66747de9ae63030ca32611497c827",
    64: "51f0bebf7e3b9d92fc49741779363cfe",
}


def tags(messages: list[bytes]) -> list[str]:
    ends = np.concatenate(([0], np.cumsum([len(m) for m in messages], dtype=np.int64)))
    found = Aes(KEY).cmac(np.frombuffer(b"".join(messages), np.uint8), ends)
    return [tag.tobytes().hex() for tag in found]


@pytest.mark.parametrize("length", RFC_4493)
def test_the_vectors_of_rfc_4493(length: int) -> None:
    assert tags([MESSAGE[:length]]) == [RFC_4493[length]]


def test_all_vectors_in_one_batch() -> None:
    assert tags([MESSAGE[:length] for length in RFC_4493]) == list(RFC_4493.values())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=70) | st.binary(min_size=1000, max_size=1100), max_size=40))
def test_a_tag_depends_on_its_own_message_alone(messages: list[bytes]) -> None:
    def alone(message: bytes) -> str:
        mac = CMAC(algorithms.AES(KEY))
        mac.update(message)
        return mac.finalize().hex()

    assert tags(messages) == [alone(message) for message in messages]


def test_offsets_may_start_anywhere() -> None:
    data = np.frombuffer(b"??abc??", np.uint8)
    found = Aes(KEY).cmac(data, np.array([2, 5, 5], np.int64))
    assert [tag.tobytes().hex() for tag in found] == tags([b"abc", b""])
