"""What is measured becomes a verdict and a sentence. Limits are what chance allows for the number of rows, and a margin on top.

``warn`` begins where chance ends, ``fail`` where somebody could act on what the rows give away.
"""

from __future__ import annotations

from math import sqrt
from typing import Final

from tailrace.quality.attacks import FALSE_POSITIVES, Membership, SinglingOut
from tailrace.quality.forms import percent
from tailrace.quality.model import Gate, Verdict
from tailrace.quality.nearness import Copies, Nearness

SIGMAS: Final = 3.0
WARN_SIGMAS: Final = 2.5
FAIL_SIGMAS: Final = 4.0
"""Of shares of which the worst of several is judged."""
NEARER_WARN, NEARER_FAIL = 0.525, 0.55
"""Share of made rows that are nearer to a learned row: limits in use elsewhere for some thousand rows."""
AUC_WARN, AUC_FAIL = 0.525, 0.55
CAUGHT_WARN, CAUGHT_FAIL = 0.02, 0.03
"""Of members, where one outsider in a hundred is accused."""
RISK_WARN, RISK_FAIL = 0.02, 0.05
GAP_WARN, GAP_FAIL = 0.06, 0.12
"""Of the nats per row: how much likelier learned rows are to the model than others. Models of census rows and of shop visits have 2
and 4 %, where learning stopped in time."""
LINKED_WARN = 0.05
NO_HELD_OUT: Final = (
    "needs real rows that were not learned from: learn from fewer (train.rows), or name some with --held-out"
)
TITLES: Final = {
    "copies": "Copied rows",
    "nearest": "Distance to the closest record",
    "ratio": "Nearest-neighbour ratio",
    "membership": "Membership attack",
    "singling-out": "Singling out",
    "gap": "Memorisation of the model",
    "linkage": "Rows recognisable by unmasked columns",
}


def copies_gate(found: Copies) -> Gate:
    """Copies of learned rows against those that equal held-out rows, which nobody can have copied."""
    margin = SIGMAS * sqrt(max(1, found.learned + found.held_out))
    limit = (found.held_out + margin) / found.rows
    verdict: Verdict = "fail" if found.learned > found.held_out + margin else "pass"
    return _gate(
        "copies", verdict, found.learned / found.rows, found.held_out / found.rows, limit,
        f"{found.learned:,} of {found.rows:,} rows equal a learned row, {found.held_out:,} equal one that was never learned",
        "Some real rows came out as they are, more often than frequent combinations explain."
        if verdict == "fail"
        else "Rows equal real ones no more often than by frequent combinations.",
    )  # fmt: skip


def nearest_gate(found: Nearness) -> Gate:
    """Share of made rows that are nearer to a learned row."""
    return _half(
        "nearest", found.nearer, found,
        f"{percent(found.nearer)} of {found.rows:,} rows are nearer to a learned row than to a held-out one; "
        f"{percent(found.ties)} tie",
    )  # fmt: skip


def ratio_gate(found: Nearness) -> Gate:
    """The same of the ratio of nearest and second nearest."""
    return _half(
        "ratio", found.ratio_nearer, found,
        f"for {percent(found.ratio_nearer)} of {found.rows:,} rows a single learned row stands out more than any held-out one",
    )  # fmt: skip


def _half(name: str, share: float, found: Nearness, detail: str) -> Gate:
    # Made rows share the samples that they are compared with, so these count as well.
    sigma = 0.5 * sqrt(1 / found.rows + 1 / found.compared)
    warn, fail = max(NEARER_WARN, 0.5 + WARN_SIGMAS * sigma), max(NEARER_FAIL, 0.5 + FAIL_SIGMAS * sigma)
    meaning = {
        "pass": "Made rows keep the same distance to learned rows as to people the model never saw.",
        "warn": "Made rows lie a little nearer to learned rows than chance explains.",
        "fail": "Made rows cluster around rows that were learned: the model repeats them with small changes.",
    }
    verdict = _above(share, warn, fail)
    return _gate(name, verdict, share, 0.5, fail, detail, meaning[verdict])


def membership_gate(found: Membership) -> Gate:
    """An attacker who knows a whole row asks whether it was learned from."""
    few = min(found.members, found.outsiders)
    noise = SIGMAS * sqrt(2 * FALSE_POSITIVES * (1 - FALSE_POSITIVES) / few)
    auc_noise = SIGMAS * sqrt((found.members + found.outsiders + 1) / (12 * found.members * found.outsiders))
    verdict = _worse(
        _above(found.caught, max(CAUGHT_WARN, FALSE_POSITIVES + noise), max(CAUGHT_FAIL, FALSE_POSITIVES + noise)),
        _above(found.auc, max(AUC_WARN, 0.5 + auc_noise), max(AUC_FAIL, 0.5 + auc_noise)),
    )
    meaning = {
        "pass": "Somebody who knows a person's whole row cannot tell whether it was learned from.",
        "warn": "Somebody who knows a person's whole row has a slight hint whether it was learned from.",
        "fail": "Somebody who knows a person's whole row can often tell that it was learned from.",
    }
    return _gate(
        "membership", verdict, found.caught, FALSE_POSITIVES, max(CAUGHT_FAIL, FALSE_POSITIVES + noise),
        f"{percent(found.caught)} of {found.members:,} members are recognised where 1 % of {found.outsiders:,} outsiders are "
        f"accused; AUC {found.auc:.3f}, of outlying members {found.outliers_auc:.3f}",
        meaning[verdict],
    )  # fmt: skip


def singling_out_gate(found: SinglingOut) -> Gate:
    """Conditions read from the made rows that fit exactly one real person."""
    if not found.guesses:
        return unmeasured("singling-out", "no condition fits exactly one row")
    verdict = _above(found.lowest, RISK_WARN, RISK_FAIL)
    meaning = {
        "pass": "The rows help to single out people they were learned from no more than people they were not.",
        "warn": "The rows help a little to single out people they were learned from.",
        "fail": "The rows help to single out people they were learned from.",
    }
    return _gate(
        "singling-out", verdict, found.risk, 0.0, RISK_FAIL,
        f"{found.guesses:,} conditions: {found.hits:,} fit exactly one learned row, {found.hits_held_out:,} exactly one held-out "
        f"row; risk {percent(found.risk)}, at least {percent(found.lowest)} with 95 % confidence",
        meaning[verdict],
    )  # fmt: skip


def gap_gate(loss: float, held_out_loss: float) -> Gate:
    """The model's own likelihood of learned and of held-out rows, in nats per row."""
    gap = (held_out_loss - loss) / max(abs(held_out_loss), 1e-9)
    verdict = _above(gap, GAP_WARN, GAP_FAIL)
    meaning = {
        "pass": "Rows that were learned are no likelier to the model than others.",
        "warn": "The model fits the rows that it learned slightly better than others.",
        "fail": "The model knows the rows that it learned much better than others: it has memorised.",
    }
    return _gate(
        "gap", verdict, gap, 0.0, GAP_FAIL,
        f"{loss:.3f} nats per learned row, {held_out_loss:.3f} per held-out row", meaning[verdict],
    )  # fmt: skip


def linkage_gate(unique: int, rows: int, worst: str) -> Gate:
    """Masked rows that somebody who knows the unmasked columns finds again."""
    share = unique / rows
    verdict: Verdict = "warn" if share > LINKED_WARN else "pass"
    return _gate(
        "linkage", verdict, share, 0.0, LINKED_WARN,
        f"{unique:,} of {rows:,} sampled rows are alone with their values in the unmasked columns"
        + (f"; {worst}" if worst else ""),
        "Whoever knows these columns of a person finds the person's masked row. Mask or coarsen the columns named."
        if verdict == "warn"
        else "Unmasked columns alone point to hardly anybody.",
    )  # fmt: skip


def unmeasured(name: str, why: str) -> Gate:
    """A question that could not be answered."""
    return _gate(name, "unmeasured", None, None, None, why, "Not measured.")


def _above(figure: float, warn: float, fail: float) -> Verdict:
    return "fail" if figure > fail else "warn" if figure > warn else "pass"


def _worse(first: Verdict, second: Verdict) -> Verdict:
    order: tuple[Verdict, ...] = ("unmeasured", "pass", "warn", "fail")
    return max(first, second, key=order.index)


def _gate(
    name: str, verdict: Verdict, figure: float | None, chance: float | None, limit: float | None, detail: str, meaning: str
) -> Gate:  # fmt: skip
    return Gate(
        name=name, title=TITLES[name], verdict=verdict, figure=figure, chance=chance, limit=limit, detail=detail, meaning=meaning
    )  # fmt: skip
