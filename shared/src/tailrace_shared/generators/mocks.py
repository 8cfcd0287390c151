"""Mocks: readable values from pools of Faker's data, chosen by a keyed hash of the value.

One value of a domain gets the same mock in every table. Mocks are not injective, but `mock.email` and `mock.phone` have
a unique mode that carries at least 80 bits of the hash.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Literal, get_args

from pydantic import Field

from tailrace_shared.generators.base import TEXT, GeneratorSpec, Injectivity, Making, too_short
from tailrace_shared.generators.column import MaskColumn, Refusal, char_limit
from tailrace_shared.generators.pool_sizes import POOL_SIZES
from tailrace_shared.types import Family

Locale = Literal["en_US", "en_GB", "de_DE", "fr_FR", "es_ES", "it_IT", "nl_NL", "sv_SE", "da_DK", "fi_FI"]
LOCALES: tuple[str, ...] = get_args(Locale)


class Mock(GeneratorSpec):
    """Base of the mocks: text, in a locale, never longer than the column."""

    locale: Locale = Field(default="en_US", description="Whose names, cities and forms.")
    families: ClassVar[frozenset[Family]] = TEXT
    from_ordinal: ClassVar[bool] = True
    min_chars: ClassVar[int]
    """Characters of the shortest form that still has variety: a column below is refused."""
    max_chars: ClassVar[int]
    """Characters of the longest form, over all locales."""

    def making(self, column: MaskColumn) -> Making:
        return "free"

    def output_space(self, column: MaskColumn) -> int | None:
        """Outputs when the column is wide enough for all of them; an upper bound where it is not."""
        return POOL_SIZES[self.generator][self.locale]

    def max_output_chars(self, column: MaskColumn) -> int | None:
        limit = char_limit(column)
        return self.max_chars if limit is None else min(limit, self.max_chars)

    def refusals(self, column: MaskColumn) -> list[Refusal]:
        return too_short(self.generator, column, self.min_chars, "use mask.text, mask.hash, constant or null")


class MockFirstName(Mock):
    """A first name."""

    generator: Literal["mock.first_name"] = "mock.first_name"
    domain_family: ClassVar[str] = "first_name"
    min_chars: ClassVar[int] = 6
    max_chars: ClassVar[int] = 24


class MockLastName(Mock):
    """A last name."""

    generator: Literal["mock.last_name"] = "mock.last_name"
    domain_family: ClassVar[str] = "last_name"
    min_chars: ClassVar[int] = 8
    max_chars: ClassVar[int] = 40


class MockFullName(Mock):
    """A first and a last name; an initial and a last name where the column is narrow."""

    generator: Literal["mock.full_name"] = "mock.full_name"
    domain_family: ClassVar[str] = "full_name"
    min_chars: ClassVar[int] = 12
    max_chars: ClassVar[int] = 57


class MockCompany(Mock):
    """A company's name."""

    generator: Literal["mock.company"] = "mock.company"
    domain_family: ClassVar[str] = "company"
    min_chars: ClassVar[int] = 12
    max_chars: ClassVar[int] = 88


class MockStreet(Mock):
    """A street with a house number."""

    generator: Literal["mock.street"] = "mock.street"
    domain_family: ClassVar[str] = "street"
    min_chars: ClassVar[int] = 16
    max_chars: ClassVar[int] = 64


class MockCity(Mock):
    """A city."""

    generator: Literal["mock.city"] = "mock.city"
    domain_family: ClassVar[str] = "city"
    min_chars: ClassVar[int] = 10
    max_chars: ClassVar[int] = 48


class MockPostcode(Mock):
    """A postcode in the locale's form."""

    shortest: ClassVar[Mapping[str, int]] = MappingProxyType({"en_GB": 8, "nl_NL": 7, "da_DK": 4})
    """Characters of the locale's form, where they are not five."""

    generator: Literal["mock.postcode"] = "mock.postcode"
    domain_family: ClassVar[str] = "postcode"
    min_chars: ClassVar[int] = 8
    max_chars: ClassVar[int] = 8

    def refusals(self, column: MaskColumn) -> list[Refusal]:
        needed = self.shortest.get(self.locale, 5)
        return too_short(self.generator, column, needed, "choose the locale of the column, or use mask.text")


class UniqueMock(Mock):
    """A mock with a unique mode: at least 80 bits of the hash are in the value."""

    unique: bool = Field(default=False, description="Carry 80 bits of the hash, for a column in a unique index.")
    unique_chars: ClassVar[int]
    """Characters of the shortest unique form."""
    unique_space: ClassVar[int]
    """Outputs of the unique form, at least."""

    def making(self, column: MaskColumn) -> Making:
        return "probable" if self.unique else "free"

    def injectivity(self, column: MaskColumn) -> Injectivity:
        return "probable" if self.unique else "none"

    def output_space(self, column: MaskColumn) -> int | None:
        return self.unique_space if self.unique else super().output_space(column)

    def refusals(self, column: MaskColumn) -> list[Refusal]:
        if self.unique:
            remedy = "widen the destination's column, or use key"
            return too_short(f"{self.generator} (unique)", column, self.unique_chars, remedy)
        return super().refusals(column)


class MockEmail(UniqueMock):
    """An e-mail address in a domain that is reserved for examples (RFC 2606)."""

    generator: Literal["mock.email"] = "mock.email"
    domain_family: ClassVar[str] = "email"
    min_chars: ClassVar[int] = 20
    max_chars: ClassVar[int] = 76
    unique_chars: ClassVar[int] = 28
    unique_space: ClassVar[int] = 1 << 80


class MockPhone(UniqueMock):
    """A telephone number of the range 555-0100 … 555-0199, which the North American plan keeps for fiction."""

    generator: Literal["mock.phone"] = "mock.phone"
    domain_family: ClassVar[str] = "phone"
    min_chars: ClassVar[int] = 10
    max_chars: ClassVar[int] = 33
    unique_chars: ClassVar[int] = 31
    unique_space: ClassVar[int] = 10**20 << 16
