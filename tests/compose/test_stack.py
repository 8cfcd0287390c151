"""The whole stack: a masked copy, a run that follows its source scaled and hurt meanwhile, and where secrets are."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.containers.engine import docker
from support.containers.stack import SECRETS_HELD, Stack, until

pytestmark = pytest.mark.compose

SERVICES = ("reader", "generator", "writer", "trainer")
TABLES = ("customer", "address", "rental", "payment", "inventory", "film", "store", "staff")
UNMASKED = {
    "rental": "sum(rental_id), sum(inventory_id), count(return_date), max(rental_date)",
    "payment": "sum(payment_id), sum(rental_id), max(payment_date)",
    "customer": "count(DISTINCT customer_id), count(DISTINCT address_id), sum(active)",
    "film": "md5(string_agg(f::text, ',' ORDER BY film_id))",
}
"""What must be alike on both sides, table by table: counts and columns that are carried as they are."""


def alike(stack: Stack) -> list[str]:
    """What differs between source and destination beyond what masking changes."""
    questions = [f"SELECT count(*) FROM public.{table}" for table in TABLES]
    questions += [f"SELECT {what} FROM public.{table} f" for table, what in UNMASKED.items()]
    statement = " UNION ALL ".join(f"SELECT {i}, (SELECT t::text FROM ({q}) t)" for i, q in enumerate(questions))
    left, right = (stack.sql(side, f"{statement} ORDER BY 1").splitlines() for side in ("source", "destination"))
    assert len(left) == len(questions)
    return [f"{a} / {b}" for a, b in zip(left, right, strict=True) if a != b]


def originals(stack: Stack) -> int:
    """Customers of the destination who have an e-mail address of the source."""
    known = stack.sql("source", "SELECT string_agg(quote_literal(email), ',') FROM public.customer")
    return int(stack.sql("destination", f"SELECT count(*) FROM public.customer WHERE email IN ({known})"))


def record(stack: Stack, run: str) -> dict[str, object]:
    return json.loads(stack.tailrace("status", run, "--json"))


def test_every_service_is_healthy_and_scraped(stack: Stack) -> None:
    for name in (*SERVICES, "kafka", "source", "destination", "prometheus", "alertmanager", "grafana"):
        assert stack.healthy(name), name

    def scraped() -> bool:
        query = urllib.parse.urlencode({"query": 'up{job="tailrace"}'})
        with urllib.request.urlopen(
            f"http://{stack.port('prometheus', 9090)}/api/v1/query?{query}", timeout=5
        ) as answer:
            found = json.load(answer)["data"]["result"]
        return {s["metric"]["service"] for s in found if s["value"][1] == "1"} == set(SERVICES)

    until(scraped, 60, "all four services to be scraped")


def test_a_masked_copy_arrives(stack: Stack) -> None:
    said = stack.tailrace("run", "/jobs/once.yaml", "--json")
    told = json.loads(said)
    assert told["state"] == "done"
    assert alike(stack) == []
    assert originals(stack) == 0
    assert stack.sql("destination", "SELECT count(*) FROM public.customer") == "599"


def test_a_run_follows_while_it_is_scaled_and_parts_are_killed(stack: Stack, python_image: str) -> None:
    run = stack.tailrace("run", "/jobs/follow.yaml", "--detach").strip().splitlines()[-1].strip()
    until(lambda: record(stack, run)["state"] == "streaming", 120, "the run to follow its source")

    def change(step: int) -> None:
        stack.sql(
            "source",
            "INSERT INTO public.customer (store_id, first_name, last_name, email, address_id) "
            f"SELECT 1, 'NEW', 'PERSON' || i, 'new.person' || i || '@mail.example', 5 FROM generate_series({step}, {step + 19}) i; "
            f"UPDATE public.customer SET email = 'changed' || customer_id || '.{step}@mail.example' WHERE customer_id % 50 = 7; "
            "DELETE FROM public.payment WHERE payment_id IN (SELECT payment_id FROM public.payment ORDER BY payment_id LIMIT 5)",
        )

    change(1000)
    until(lambda: not alike(stack), 60, "changes to arrive")

    stack.up("--no-recreate", "--scale", "generator=3")
    assert stack.healthy("generator", 3)
    change(2000)

    broker = stack.kill("kafka", python_image)
    change(3000)
    until(lambda: stack.restarts(broker) >= 1 and stack.healthy("kafka"), 240, "the broker to be back")
    until(lambda: not alike(stack), 180, "changes to arrive after the broker's crash")

    writer = stack.kill("writer", python_image)
    change(4000)
    until(lambda: stack.restarts(writer) >= 1 and stack.healthy("writer"), 120, "the writer to be back")
    until(lambda: not alike(stack), 180, "changes to arrive after the writer's crash")

    stack.up("--no-recreate", "--scale", "generator=1")
    until(lambda: stack.healthy("generator", 1), 60, "two generators to be gone")
    change(5000)
    until(lambda: not alike(stack), 90, "changes to arrive with one generator")

    ended = json.loads(stack.tailrace("stop", run, "--json"))
    assert ended["state"] == "done"
    assert alike(stack) == []
    assert originals(stack) == 0
    assert stack.sql("destination", "SELECT count(*) FROM public.customer") == str(599 + 5 * 20)
    assert stack.sql("source", "SELECT count(*) FROM pg_replication_slots") == "0"


def test_a_secret_is_where_it_is_needed_and_nowhere_else(stack: Stack) -> None:
    values = {path.name: path.read_text() for path in stack.secrets.iterdir()}
    values |= {
        f"password in {name}": value.split(":")[2].split("@")[0]
        for name, value in values.items()
        if name.endswith("_url")
    }
    telling = {name: value for name, value in values.items() if name != "canaries"}
    assert all(len(value) > 30 for value in telling.values())
    containers = stack.containers()
    assert len(containers) >= 10
    images = {container["Image"] for container in containers}
    told = {
        "docker inspect": json.dumps(containers),
        "docker history": "".join(docker("history", "--no-trunc", image) for image in images),
        "logs": stack.logs(),
        "environments of processes": "".join(
            docker(
                "exec",
                "--user",
                "0",
                c["Id"],
                "sh",
                "-c",
                "cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'; true",
            )
            for c in containers
        ),
        "command lines of processes": "".join(docker("top", c["Id"], "-eo", "pid,args") for c in containers),
    }
    assert "tailrace" in told["environments of processes"]
    for where, text in told.items():
        assert [name for name, value in telling.items() if value in text] == [], where
    for container in containers:
        service = container["Config"]["Labels"]["com.docker.compose.service"]
        mounted = {
            m["Destination"].removeprefix("/run/secrets/")
            for m in container["Mounts"]
            if "/run/secrets/" in m["Destination"]
        }
        assert mounted == SECRETS_HELD[service], service


def test_networks_keep_a_stage_from_what_is_not_its_own(stack: Stack) -> None:
    look = (
        "import socket, sys\nfor name, port in (('kafka', 9092), ('source', 5432), ('destination', 5432)):\n"
        "    try: socket.create_connection((name, port), 3).close(); print(name)\n    except OSError: pass"
    )
    with ThreadPoolExecutor() as pool:  # a name that is not known takes its time
        found = pool.map(lambda name: stack.compose("exec", "-T", name, "python", "-c", look).split(), SERVICES)
        reached = dict(zip(SERVICES, found, strict=True))
    assert reached == {
        "reader": ["kafka", "source"],
        "generator": ["kafka"],
        "writer": ["kafka", "destination"],
        "trainer": ["kafka"],
    }


def test_services_are_confined(stack: Stack) -> None:
    for container in (c for name in SERVICES for c in stack.containers(name)):
        host = container["HostConfig"]
        assert host["ReadonlyRootfs"]
        assert host["CapDrop"] == ["ALL"]
        assert "no-new-privileges:true" in host["SecurityOpt"]
        assert host["Memory"] > 0
        assert container["Config"]["User"] == "10001:10001"
