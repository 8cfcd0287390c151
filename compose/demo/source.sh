#!/bin/bash
# The demo's source, filled once: a DVD rental chain with customers in it, and a role that may read it and follow it, no more.
# What is granted is docs/privileges.md; the publication is the administrator's, so that the role owns nothing.
set -euo pipefail
admin() { psql --quiet --no-psqlrc -v ON_ERROR_STOP=1 -U "${POSTGRES_USER:-postgres}" -d "$POSTGRES_DB" "$@"; }

gzip --decompress --stdout /demo/pagila.sql.gz | admin >/dev/null
admin <<'SQL'
\set password `cat /run/secrets/source_reader_password`
SET search_path = public;
CREATE ROLE tailrace_reader LOGIN REPLICATION PASSWORD :'password';
SELECT format('REVOKE CONNECT ON DATABASE %I FROM PUBLIC; GRANT CONNECT ON DATABASE %1$I TO tailrace_reader', current_database()) \gexec
GRANT USAGE ON SCHEMA public TO tailrace_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO tailrace_reader;
CREATE PUBLICATION lower_environments FOR TABLES IN SCHEMA public WITH (publish_via_partition_root = true);
ANALYZE;
SQL
