"""Attacks and gates on tables whose secrets are known: rows of the population, copies, near copies, legitimate duplicates."""

from __future__ import annotations

import numpy as np
import pytest

from tailrace.quality import gates
from tailrace.quality.attacks import SinglingOut, caught_at, membership, rank_auc, wilson
from tailrace.quality.columns import Column, Rows, names, numbers, size_of, take
from tailrace.quality.gates import NO_HELD_OUT
from tailrace.quality.nearness import Space, copies, nearness
from tailrace.quality.privacy import Losses, privacy_gates

MEASURED = ("copies", "nearest", "ratio", "membership", "singling-out")


def population(rows: int, seed: int) -> dict[str, Column]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=rows)
    return {
        "x": numbers(x),
        "y": numbers(x + rng.normal(size=rows)),
        "z": numbers(rng.exponential(size=rows)),
        "kind": names(rng.choice(["a", "b", "c"], rows)),
        "place": names(rng.choice([f"p{n}" for n in range(20)], rows)),
    }


def with_noise(rows: Rows, size: float, seed: int) -> dict[str, Column]:
    rng = np.random.default_rng(seed)
    return {
        name: column if column.numbers is None else numbers(column.values + size * rng.normal(size=len(column)))
        for name, column in rows.items()
    }


def joined(first: Rows, second: Rows) -> dict[str, Column]:
    found = {}
    for name, column in first.items():
        if column.numbers is None:
            found[name] = names([*column.texts.to_pylist(), *second[name].texts.to_pylist()])  # type: ignore[union-attr]
        else:
            found[name] = numbers(np.concatenate([column.values, second[name].values]))
    return found


def verdicts(learned: Rows, held_out: Rows, made: Rows, seed: int = 0) -> dict[str, str]:
    found = privacy_gates(learned, held_out, made, np.random.default_rng(seed))
    return {gate.name: gate.verdict for gate in found}


def test_rows_of_the_same_population_pass_every_gate() -> None:
    for seed in range(8):
        found = verdicts(population(1500, seed), population(1500, seed + 100), population(1500, seed + 200), seed)
        assert {found[name] for name in MEASURED} == {"pass"}, (seed, found)


def test_copies_fail_every_gate() -> None:
    learned = population(1500, 1)
    found = verdicts(learned, population(1500, 2), learned)
    assert {found[name] for name in MEASURED} == {"fail"}


def test_one_copied_row_in_twenty_among_good_ones_fails() -> None:
    learned = population(1500, 1)
    made = joined(population(1425, 3), take(learned, np.arange(75)))
    assert verdicts(learned, population(1500, 2), made)["copies"] == "fail"


def test_near_copies_are_no_copies_and_fail_by_their_distances() -> None:
    learned = population(1500, 1)
    found = verdicts(learned, population(1500, 2), with_noise(learned, 0.02, 7))
    assert found["copies"] == "pass"
    assert {found[name] for name in ("nearest", "ratio", "membership")} == {"fail"}


def test_legitimate_duplicates_do_not_fail() -> None:
    """Every row of this table occurs many times, in every sample of it."""

    def common(seed: int) -> Rows:
        rng = np.random.default_rng(seed)
        return {"a": names(rng.choice(["x", "y"], 1500, p=[0.9, 0.1])), "b": numbers(rng.integers(0, 6, 1500))}

    found = privacy_gates(common(1), common(2), common(3), np.random.default_rng(0))
    assert {gate.verdict for gate in found if gate.name != "gap"} <= {"pass", "unmeasured"}
    assert next(gate for gate in found if gate.name == "copies").figure == 1


def test_what_cannot_be_measured_says_what_it_needs() -> None:
    rows = population(300, 1)
    for held_out, why in ((None, NO_HELD_OUT), (population(50, 2), "needs 200 rows")):
        found = privacy_gates(rows, held_out, rows, np.random.default_rng(0))
        assert {gate.verdict for gate in found} == {"unmeasured"}
        assert why in found[0].detail
    assert privacy_gates({}, {}, {}, np.random.default_rng(0))[0].verdict == "unmeasured"


@pytest.mark.parametrize(("losses", "verdict"), [((10, 10.3), "pass"), ((10, 10.9), "warn"), ((10, 12), "fail")])
def test_a_model_that_knows_its_rows_better_than_others_has_memorised(
    losses: tuple[float, float], verdict: str
) -> None:
    rows = population(20, 1)
    gate = privacy_gates(rows, None, rows, np.random.default_rng(0), Losses(*losses))[-1]
    assert (gate.name, gate.verdict) == ("gap", verdict)


def test_ties_count_by_half() -> None:
    same = {"a": names(["x"] * 10)}
    found = nearness(same, same, same)
    assert (found.nearer, found.ties, found.ratio_nearer) == (0.5, 1.0, 0.5)


def test_distances_are_ranges_of_numbers_and_two_for_a_name() -> None:
    first = {"n": numbers([0, 10, np.nan]), "k": names(["a", "b", None])}
    space = Space.of(first, {"n": numbers([5, np.inf]), "k": names(["a", "a"])})
    near, second = space.two_nearest(0, 1)
    assert near.tolist() == pytest.approx([0.5, 2.5, 3.0])
    assert second.tolist() == pytest.approx([3.0, 4.0, 5.5])


def test_copies_are_counted_by_their_values_not_their_distances() -> None:
    found = copies({"n": numbers([1, 2])}, {"n": numbers([3, 4])}, {"n": numbers([1, 1 + 1e-12, 3, 9])})
    assert (found.learned, found.held_out, found.rows) == (1, 1, 4)


def test_the_membership_attack_tells_members_of_a_leaking_table_and_no_others() -> None:
    members, outsiders, reference = (population(500, seed) for seed in (1, 2, 3))
    leaking = membership(members, outsiders, reference, members)
    assert leaking.caught > 0.9
    assert leaking.auc > 0.95
    honest = membership(members, outsiders, reference, population(500, 4))
    assert honest.auc == pytest.approx(0.5, abs=0.06)
    assert honest.caught < 0.05


def test_the_rank_auc_and_the_roc_curve_are_those_of_the_definitions() -> None:
    assert rank_auc(np.array([1.0, 2]), np.array([0.0, 2])) == pytest.approx((1 + 0.5 + 1 + 0) / 4)
    assert rank_auc(np.array([1.0]), np.array([1.0])) == 0.5
    assert caught_at(np.array([3.0, 1, 1, 1]), np.arange(100) / 100, 0.01) == 1
    assert caught_at(np.ones(10), np.ones(10), 0.01) == pytest.approx(0.01), "a curve without a step is the diagonal"


def test_wilson_intervals_hold_their_textbook_values() -> None:
    assert wilson(0, 10) == pytest.approx((0, 0.2775), abs=1e-3)
    assert wilson(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-3)
    assert wilson(0, 0) == (0, 1)


def test_the_risk_of_singling_out_is_what_exceeds_guessing() -> None:
    assert SinglingOut(100, 55, 10).risk == pytest.approx(0.5)
    assert SinglingOut(100, 10, 10).risk == 0
    assert SinglingOut(100, 15, 10).lowest == 0, "a few more are chance"
    assert gates.singling_out_gate(SinglingOut(0, 0, 0)).verdict == "unmeasured"


def test_few_rows_widen_the_limits() -> None:
    small = nearness(population(200, 1), population(200, 2), population(60, 3))
    assert gates.nearest_gate(small).limit > 0.6  # type: ignore[operator]
    assert size_of(population(7, 1)) == 7
