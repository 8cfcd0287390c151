#!/bin/bash
# The demo's destination, made once: the source's structure without a row, owned by the role that loads it.
set -euo pipefail
admin() { psql --quiet --no-psqlrc -v ON_ERROR_STOP=1 -U "${POSTGRES_USER:-postgres}" -d "$POSTGRES_DB" "$@"; }

admin <<'SQL'
\set password `cat /run/secrets/destination_writer_password`
CREATE ROLE tailrace_writer LOGIN PASSWORD :'password';
SELECT format('REVOKE CONNECT ON DATABASE %I FROM PUBLIC; GRANT CONNECT, CREATE, TEMPORARY ON DATABASE %1$I TO tailrace_writer', current_database()) \gexec
GRANT USAGE, CREATE ON SCHEMA public TO tailrace_writer;
GRANT SET ON PARAMETER session_replication_role TO tailrace_writer;
SQL
# A dump without its rows, positions of sequences and filled views.
{
  echo 'SET ROLE tailrace_writer;'
  gzip --decompress --stdout /demo/pagila.sql.gz \
    | sed -e '/^COPY .* FROM stdin;$/,/^\\\.$/d' -e '/^SELECT pg_catalog\.setval(/d' -e '/^REFRESH MATERIALIZED VIEW /d'
} | admin >/dev/null
