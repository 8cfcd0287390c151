"""Secrets are split by service, and what is missing is named before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tailrace.environment import split_secrets
from tailrace.local import parse_replicas
from tailrace_shared.errors import UsageError
from tailrace_shared.job.spec import Destination, Job, Source, TableRule, Verification

JOB = Job(
    name="demo",
    source=Source(url="${SRC}"),
    destination=Destination(url="${DST}"),
    secret="${MASK}",
    verify=Verification(canaries=("${BIRDS}",)),
)
ENVIRON = {
    "SRC": "s-url",
    "DST": "d-url",
    "MASK": "m-secret-of-some-length",
    "BIRDS": "a canary\nanother",
    "TAILRACE_TRANSPORT_KEY": "t-key-of-some-length",
    "HOME": "/home/x",
}


def test_each_secret_goes_only_where_it_is_used() -> None:
    shares = split_secrets(JOB, ENVIRON)
    holders = {value: {s for s, share in shares.items() if value in share.values()} for value in ENVIRON.values()}
    assert holders == {
        "s-url": {"reader"},
        "d-url": {"writer"},
        "m-secret-of-some-length": {"generator"},
        "a canary\nanother": {"writer"},
        "t-key-of-some-length": {"reader", "generator", "trainer"},
        "/home/x": set(),
    }


def test_variables_of_conditions_are_the_readers_and_no_secret_comes_with_them() -> None:
    where = "name = ${WHO} AND b = ${MASK} AND c = ${TAILRACE_MASK_SECRET}"
    job = JOB.model_copy(update={"tables": {"public.t": TableRule(where=where)}})
    with pytest.raises(UsageError, match="WHO"):
        split_secrets(job, ENVIRON)
    shares = split_secrets(job, ENVIRON | {"WHO": "somebody"})
    assert {service for service, share in shares.items() if "WHO" in share} == {"reader"}
    assert "m-secret-of-some-length" not in shares["reader"].values()


def test_the_mask_secret_is_known_to_the_generator_under_its_own_name() -> None:
    assert split_secrets(JOB, ENVIRON)["generator"]["TAILRACE_MASK_SECRET"] == "m-secret-of-some-length"


def test_a_transport_key_is_made_where_none_is_set_and_differs_each_time() -> None:
    environ = {k: v for k, v in ENVIRON.items() if not k.startswith("TAILRACE")}
    keys = {split_secrets(JOB, environ)["reader"]["TAILRACE_TRANSPORT_KEY"] for _ in range(2)}
    assert len(keys) == 2
    assert all(len(key) >= 32 for key in keys)


def test_a_secret_in_a_file_travels_as_the_files_name(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("s-url\n")
    environ = {k: v for k, v in ENVIRON.items() if k != "SRC"} | {"SRC_FILE": str(file)}
    assert split_secrets(JOB, environ)["reader"] == {
        "SRC_FILE": str(file),
        "TAILRACE_TRANSPORT_KEY": "t-key-of-some-length",
    }


def test_all_missing_variables_are_named_at_once() -> None:
    with pytest.raises(UsageError, match="DST, MASK, BIRDS are not set"):
        split_secrets(JOB, {"SRC": "x"})


def test_a_variable_without_a_canary_is_refused_before_anything_starts() -> None:
    with pytest.raises(UsageError, match="BIRDS") as caught:
        split_secrets(JOB, ENVIRON | {"BIRDS": " \n"})
    assert caught.value.code == "verify.no-canaries"


def test_replicas_are_read_per_service() -> None:
    assert parse_replicas(["generator=2", "writer=3"]) == {"generator": 2, "writer": 3}


@pytest.mark.parametrize("text", ["generator", "generator=", "painter=2", "reader=0", "reader=-1", "reader=9999"])
def test_replicas_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"replicas|at least one"):
        parse_replicas([text])


@pytest.mark.parametrize(
    ("variable", "code"), [("MASK", "secret.too-short"), ("TAILRACE_TRANSPORT_KEY", "transport-key.short")]
)
def test_a_secret_that_a_service_would_refuse_is_refused_before_anything_starts(variable: str, code: str) -> None:
    with pytest.raises(UsageError, match=variable) as caught:
        split_secrets(JOB, ENVIRON | {variable: "brief"})
    assert caught.value.code == code
    assert "brief" not in str(caught.value)
