"""What a column can hold of a person, and a finding: which of it, how sure, and why."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

Entity = Literal[
    "first_name", "last_name", "full_name", "email", "phone", "company", "street", "city", "postcode", "birth_date", "age",
    "national_id", "bank_account", "card", "ip", "device", "user_name", "secret", "geo", "money", "special", "picture", "url",
    "free_text", "container",
]  # fmt: skip

Confidence = Literal["high", "medium", "low"]
"""high: the name says so and the type agrees. medium: usually so. low: it may be, and nothing says that it is not."""

LABELS: Mapping[Entity, str] = MappingProxyType(
    {
        "first_name": "first name",
        "last_name": "last name",
        "full_name": "name of a person",
        "email": "e-mail address",
        "phone": "telephone number",
        "company": "company",
        "street": "street address",
        "city": "city",
        "postcode": "postcode",
        "birth_date": "date of birth or death",
        "age": "age",
        "national_id": "number of an identity document, tax or insurance",
        "bank_account": "bank account",
        "card": "payment card",
        "ip": "IP address",
        "device": "device, vehicle or cookie",
        "user_name": "user name",
        "secret": "password or secret",
        "geo": "place on the map",
        "money": "income or credit of a person",
        "special": "special category of personal data",
        "picture": "picture, signature or biometric",
        "url": "link to a person",
        "free_text": "free text",
        "container": "anything: nothing says what is inside",
    }
)
"""In words, for comments and tables. ``special`` is what article 9 of the GDPR lists, and gender and marital status beside it."""


class Finding(NamedTuple):
    """A column that may hold something personal."""

    entity: Entity
    confidence: Confidence
    reason: str
    """One clause: ``named "email"``."""

    def __str__(self) -> str:
        return f"{LABELS[self.entity]}, {self.reason} ({self.confidence})"
