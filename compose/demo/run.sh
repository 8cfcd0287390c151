#!/usr/bin/env bash
# A masked copy and a continuous run in the stack that `make compose-up` has started: rows of both sides beside each other, a change
# that arrives masked, a stage that is scaled meanwhile, and a good end. The stack is left running.
set -euo pipefail
cd "$(dirname "$0")/.."
compose() { docker compose ${COMPOSE_PROJECT:+-p "$COMPOSE_PROJECT"} "$@"; }
tailrace() { compose run --rm -T cli "$@" 2> >(grep -vE '^ *(Container|Network) |^time=' >&2 || true); }
sql() { compose exec -T "$1" psql -U postgres -d "$2" --no-psqlrc --quiet "${@:3}"; }
say() { printf '\n── %s\n' "$*"; }
state() { tailrace status "$1" --json | grep -oE '"state": ?"[a-z]+"' | head -1 | cut -d'"' -f4; }

await() { # seconds, what, command …
  local until=$((SECONDS + $1)) what=$2
  shift 2
  until "$@"; do
    [ $SECONDS -lt $until ] || { echo "waited too long for: $what" >&2; exit 1; }
    sleep 1
  done
}

people="SELECT customer_id, first_name, last_name, email FROM public.customer ORDER BY"

say "a masked copy: production goes to staging, once"
tailrace run /jobs/once.yaml
say "production has"
sql source production -c "$people customer_id LIMIT 4"
say "staging has"
sql destination staging -c "$people customer_id LIMIT 4"

say "the same, followed"
run=$(tailrace run /jobs/follow.yaml --detach | tail -1 | tr -d '[:space:]')
echo "run $run"
streams() { case $(state "$run") in streaming) ;; failed | cancelled) tailrace status "$run"; exit 1 ;; *) return 1 ;; esac; }
await "${PATIENCE_S:-180}" "run $run to follow its source" streams

say "three generators instead of one, while it follows"
compose up -d --no-build --no-recreate --scale generator=3 generator 2>&1 | grep -E 'generator.*(Started|Running)' || true

say "a customer moves in, another changes her name"
sql source production <<'SQL'
BEGIN;
INSERT INTO public.customer (store_id, first_name, last_name, email, address_id) VALUES (1, 'RUTH', 'NEWCOMER', 'ruth.newcomer@mail.example', 5);
UPDATE public.customer SET last_name = 'RENAMED-ONCE' WHERE customer_id = 7;
COMMIT;
SQL
before=$(sql destination staging -At -c "SELECT count(*) FROM public.customer")
grown() { [ "$(sql destination staging -At -c "SELECT count(*) FROM public.customer WHERE email LIKE '%@%'")" -ge "$1" ]; }
expected=$(sql source production -At -c "SELECT count(*) FROM public.customer")
await 60 "the change to arrive" grown "$expected"
echo "production has $expected customers, staging had $before and has $(sql destination staging -At -c "SELECT count(*) FROM public.customer")"
say "newest in production"
sql source production -c "$people last_update DESC, customer_id DESC LIMIT 2"
say "newest in staging"
sql destination staging -c "$people last_update DESC, customer_id DESC LIMIT 2"
leaked=$(sql destination staging -At -c "SELECT count(*) FROM public.customer WHERE last_name ILIKE '%newcomer%' OR last_name ILIKE '%renamed%'")
[ "$leaked" = 0 ] || { echo "an original name is in staging" >&2; exit 1; }

say "stopped in good order: the last changes applied, then verified"
tailrace stop "$run"
compose up -d --no-build --no-recreate --scale generator=1 generator >/dev/null 2>&1
say "everything is still running: Grafana on http://127.0.0.1:${GRAFANA_PORT:-3000}, Prometheus on http://127.0.0.1:${PROMETHEUS_PORT:-9090}"
