"""The mocks of each locale as `forms.Forms` over Faker's data, and the digest that the plan pins."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache, lru_cache

from tailrace_generator.kernels.faker_data import FakerData, faker_data, slugs
from tailrace_generator.kernels.forms import Forms
from tailrace_generator.kernels.slots import BASE32, CodeSlot, ListSlot, Slot
from tailrace_shared.generators import GENERATORS, LOCALES, Mock

AREA_CODES = [
    f"{n}" for n in range(200, 990) if n % 100 != 11 and n // 10 % 10 != 9 and n not in (555, 800, 833, 844, 855, 866, 877, 888)
]  # fmt: skip
"""Three digits as the North American plan assigns them: not N9X, N11, nor toll-free."""
LINES = [f"{n:02}" for n in range(100)]
"""555-0100 to 555-0199 are kept for fiction."""
HOUSES = [str(n) for n in range(1, 1000)]


@lru_cache(maxsize=64)
def mock_forms(name: str, locale: str, limit: int | None = None, *, unique: bool = False) -> Forms:
    """The forms of a mock; ``limit`` is the column's, for the shortest form, which must fit it.

    Raises KeyError for a name that is not a mock's.
    """
    data = faker_data(locale)
    if name == "mock.first_name":
        return _single(data.first_names, limit)
    if name == "mock.last_name":
        return _single(data.last_names, limit)
    if name == "mock.city":
        return _single(data.cities(), limit)
    if name == "mock.full_name":
        return Forms(
            {
                "first": ListSlot(data.first_names),
                "last": ListSlot(data.last_names),
                "initial": ListSlot(sorted({first[0] for first in data.first_names})),
                "short": ListSlot(_fitting(data.last_names, limit, 3)),
            },
            ["{first} {last}", "{initial}. {short}"],
        )
    if name == "mock.company":
        return Forms(
            {
                "last": ListSlot(data.last_names),
                "other": ListSlot(data.last_names),
                "suffix": ListSlot(data.company_suffixes),
                "short": ListSlot(_fitting(data.last_names, limit)),
            },
            ["{last}-{other} {suffix}", "{last} {suffix}", "{short}"],
        )
    builders = {"mock.email": _email, "mock.phone": _phone, "mock.street": _street, "mock.postcode": _postcode}
    return builders[name](data, limit, unique)


@cache
def pool_digest(locale: str) -> str:
    """SHA-256 (hex) over a locale's lists; what is made of them is covered by the catalogue's version."""
    return hashlib.sha256("\n".join(faker_data(locale).content()).encode()).hexdigest()


def pools_digest() -> str:
    """SHA-256 (hex) over all locales: replicas of one run must agree on it."""
    return hashlib.sha256("".join(pool_digest(locale) for locale in LOCALES).encode()).hexdigest()


def pool_sizes() -> dict[str, dict[str, int]]:
    """Outputs per mock and locale, at most: what `tailrace_shared.generators.pool_sizes` pins."""
    mocks = [name for name, spec in GENERATORS.items() if issubclass(spec, Mock)]
    return {name: {locale: mock_forms(name, locale).space() for locale in LOCALES} for name in mocks}


def _fitting(values: Sequence[str], limit: int | None, taken: int = 0) -> Sequence[str]:
    """Those that leave room for ``taken`` characters."""
    return values if limit is None else [value for value in values if len(value) + taken <= limit]


def _single(values: Sequence[str], limit: int | None) -> Forms:
    return Forms({"value": ListSlot(values), "short": ListSlot(_fitting(values, limit))}, ["{value}", "{short}"])


def _email(data: FakerData, limit: int | None, unique: bool) -> Forms:
    """In a domain that RFC 2606 reserves; the unique form carries 80 bits in base 32."""
    names = {"first": ListSlot(slugs(data.first_names)), "last": ListSlot(slugs(data.last_names))}
    code = CodeSlot(BASE32, 8)
    if unique:
        ending = "{code}{more}@example.com"
        return Forms({**names, "code": code, "more": code}, ["{first}.{last}." + ending, ending])
    number = ListSlot([f"{n}" for n in range(1, 10_000)])
    slots: dict[str, Slot] = {**names, "number": number, "tld": ListSlot(["com", "net", "org"]), "code": code}
    ending = "@example.{tld}"
    return Forms(slots, ["{first}.{last}{number}" + ending, "{last}{number}" + ending, "{code}" + ending])


def _phone(data: FakerData, limit: int | None, unique: bool) -> Forms:
    numbers = [area + line for area in AREA_CODES for line in LINES]
    national = [f"{n[:3]}55501{n[3:]}" for n in numbers]
    if unique:
        half = CodeSlot("0123456789", 10)
        slots: dict[str, Slot] = {"number": ListSlot(national), "code": half, "more": half}
        return Forms(slots, ["+1{number}x{code}{more}", "{number}x{code}{more}"])
    written = "({}) 555-01{}" if data.locale == "en_US" else "+1 {} 555 01{}"
    area, line = ListSlot(AREA_CODES), ListSlot(LINES)
    return Forms({"area": area, "line": line}, [written.format("{area}", "{line}"), "{area}55501{line}"])


def _street(data: FakerData, limit: int | None, unique: bool) -> Forms:
    """As the locale writes streets; the shortest form is a short name with a house number."""
    names, number = data.last_names, ListSlot(HOUSES)
    slots: dict[str, Slot] = {"name": ListSlot(names), "number": number}
    if data.locale == "de_DE":
        slots["kind"], form = ListSlot(data.of_address("street_suffixes_short")), "{name}{kind} {number}"
    elif data.locale in ("fr_FR", "es_ES"):
        slots["kind"] = ListSlot(data.of_address("street_prefixes"))
        form = "{number}, {kind} {name}" if data.locale == "fr_FR" else "{kind} {name} {number}"
    elif data.locale == "it_IT":
        slots["kind"], form = ListSlot(data.of_address("street_suffixes")), "{kind} {name}, {number}"
    elif data.locale in ("sv_SE", "da_DK", "fi_FI"):
        names = data.of_address("street_names" if data.locale == "da_DK" else "street_prefixes")
        slots = {"name": ListSlot(names), "number": number, "kind": ListSlot(data.of_address("street_suffixes"))}
        form = "{name}{kind} {number}"
    else:
        slots["kind"] = ListSlot(data.of_address("street_suffixes"))
        form = "{name}{kind} {number}" if data.locale == "nl_NL" else "{number} {name} {kind}"
    slots["short"] = ListSlot(_fitting(names, limit, 4))
    short = "{number} {short}" if data.locale in ("en_US", "en_GB", "fr_FR") else "{short} {number}"
    return Forms(slots, [form, short])


def _postcode(data: FakerData, limit: int | None, unique: bool) -> Forms:
    before, after = data.postcodes()
    if not after:
        return _single(before, limit)
    return Forms({"before": ListSlot(before), "after": ListSlot(after)}, ["{before} {after}"])
