"""Text within its shape: a bijection per shape, and nothing that is a letter passes through."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace_generator.kernels import Kernel, MaskSecret
from tailrace_generator.kernels.text_fpe import TextFpe
from tailrace_shared.generators import MaskColumn, shape_of, shape_size

NAMES = [
    "Ana",
    "José García",
    "Zoë",
    "Ιωάννης",
    "Иван Петров",
    "יוסי",
    "محمد",
    "अमित",
    "สมชาย",
    "王小明",
    "さくら",
    "김민준",
]


@pytest.fixture(scope="module")
def fpe(secret: MaskSecret) -> TextFpe:
    return TextFpe(secret, "test")


def permute(fpe: TextFpe, texts: list[str]) -> list[str]:
    return fpe.permute(pa.array(texts, pa.string())).to_pylist()


@pytest.mark.parametrize("parts", [("ab", "01"), ("xyz", "xyz", "-", "A"), ("é", "aë"), ("王明", "1", "2")])
def test_every_text_of_a_shape_has_its_own_mask(fpe: TextFpe, parts: tuple[str, ...]) -> None:
    texts = ["".join(chars) for chars in product(*parts)]
    assert len(set(permute(fpe, texts))) == len(texts)


@pytest.mark.parametrize("digits", [1, 2, 3, 4])
def test_a_small_shape_is_permuted_as_a_whole(fpe: TextFpe, digits: int) -> None:
    texts = [f"{i:0{digits}}" for i in range(10**digits)]
    assert sorted(permute(fpe, texts)) == texts


@pytest.mark.parametrize("name", NAMES)
def test_a_name_keeps_its_script_and_no_name_passes_through(fpe: TextFpe, name: str) -> None:
    [mask] = permute(fpe, [name])
    assert mask != name
    assert shape_of(mask) == shape_of(name)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.text(max_size=40), min_size=1, max_size=20))
def test_shape_and_byte_length_stay_and_batches_do_not_matter(fpe: TextFpe, texts: list[str]) -> None:
    masks = permute(fpe, texts)
    assert [shape_of(mask) for mask in masks] == [shape_of(text) for text in texts]
    assert [len(mask.encode()) for mask in masks] == [len(text.encode()) for text in texts]
    assert masks == [permute(fpe, [text])[0] for text in texts]
    assert len(set(masks)) == len(set(texts))


def test_texts_stay_unchanged_at_chance_level_only(fpe: TextFpe) -> None:
    texts = [f"{i:05}" for i in range(100_000)] + [f"user{i}" for i in range(20_000)]
    unchanged = sum(a == b for a, b in zip(texts, permute(fpe, texts), strict=True))
    assert unchanged < 12  # one is expected per shape that is permuted as a whole


def test_a_shape_with_one_member_can_only_be_itself(fpe: TextFpe) -> None:
    texts = ["", "-", "😀 !", "…", "\n\t"]
    assert permute(fpe, texts) == texts
    assert [shape_size(text) for text in texts] == [1] * len(texts)


def test_what_stays_does_not_change_the_rest(fpe: TextFpe) -> None:
    first, second = permute(fpe, ["0171-2345678", "0171 2345678"])
    assert first.replace("-", " ") == second


def test_another_domain_gives_another_mask(secret: MaskSecret, fpe: TextFpe) -> None:
    assert permute(TextFpe(secret, "other"), ["Alice Smith"]) != permute(fpe, ["Alice Smith"])


def test_a_huge_text_is_masked_in_time_linear_in_its_length(fpe: TextFpe) -> None:
    text = "The quick brown fox. " * 5000
    [mask] = permute(fpe, [text])
    assert shape_of(mask) == shape_of(text)
    assert mask[:40] != mask[21:61]


def test_a_batch_masked_in_pieces_equals_its_values_alone(fpe: TextFpe) -> None:
    texts = [f"{i} " + "some words of no meaning" * (i % 40) for i in range(800)]  # about 400 KB: two pieces
    together = permute(fpe, texts)
    assert together[::97] == [permute(fpe, [text])[0] for text in texts[::97]]
    assert permute(fpe, ["y" * 300_000, "z", "x" * 300_000])[1] == permute(fpe, ["z"])[0]


def test_case_folds_where_equality_does(kernel: Callable[..., Kernel], column: Callable[..., MaskColumn]) -> None:
    for filled in (column("citext"), column("text", folded=True)):
        upper, lower = kernel("key", filled)(pa.array(["ALICE Ünal", "alice ünal"])).to_pylist()
        assert upper == lower == lower.lower()


def test_folded_masks_stay_folded_in_every_script(
    secret: MaskSecret, column: Callable[..., MaskColumn], kernel: Callable[..., Kernel]
) -> None:
    texts = [chr(c) for c in range(0xA0, 0x3000) if chr(c).isalpha()] + [chr(c) for c in range(0x10400, 0x10450)]
    masks = kernel("key", column("text", folded=True))(pa.array(texts, pa.string()))
    folded = kernel("key", column("text", folded=True))
    assert len(set(masks.to_pylist())) == len(set(pa.compute.utf8_lower(pa.array(texts)).to_pylist()))
    assert pa.compute.utf8_lower(masks).to_pylist() == masks.to_pylist()
    assert folded(pa.array(texts)).equals(masks)


def test_padding_of_bpchar_does_not_count(kernel: Callable[..., Kernel], column: Callable[..., MaskColumn]) -> None:
    padded = kernel("key", column("bpchar", length=8))(pa.array(["abc     ", "abc"])).to_pylist()
    plain = kernel("key", column("varchar", length=8))(pa.array(["abc"])).to_pylist()
    assert padded == plain * 2
