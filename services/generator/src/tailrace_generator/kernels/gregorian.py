"""Days of the proleptic Gregorian calendar without Python's limit of the years 1 to 9999 (Hinnant's algorithms)."""

from __future__ import annotations

ERA_DAYS = 146_097
"""Days of 400 years."""
EPOCH_DAYS = 719_468
"""From 0000-03-01 to 1970-01-01."""


def days_of(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01; years are astronomical (1 BC is 0)."""
    year -= month <= 2
    era, of_era = divmod(year, 400)
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return era * ERA_DAYS + of_era * 365 + of_era // 4 - of_era // 100 + of_year - EPOCH_DAYS


def civil_of(days: int) -> tuple[int, int, int]:
    """Year, month and day."""
    era, of_era = divmod(days + EPOCH_DAYS, ERA_DAYS)
    year = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    month = (5 * of_year + 2) // 153
    day = of_year - (153 * month + 2) // 5 + 1
    month = month + 3 if month < 10 else month - 9
    return year + era * 400 + (month <= 2), month, day
