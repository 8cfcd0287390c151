#!/bin/bash
# What this project asks of the official image's entry: an account and database of these names, the password from a file,
# scripts run once in a new data directory, then the server as an ordinary user.
set -e
if [ "$(id -u)" = 0 ]; then
  mkdir -p "$PGDATA"; chown -R postgres: "$PGDATA" /var/run/postgresql; chmod 700 "$PGDATA"
  exec gosu postgres "$0" "$@"
fi
if [ "$1" = postgres ] && [ ! -s "$PGDATA/PG_VERSION" ]; then
  user=${POSTGRES_USER:-postgres}; database=${POSTGRES_DB:-$user}; password=${POSTGRES_PASSWORD:-}
  if [ -n "${POSTGRES_PASSWORD_FILE:-}" ]; then password=$(cat "$POSTGRES_PASSWORD_FILE"); fi
  : "${password:?a password is needed}"
  initdb -U "$user" --pwfile=<(echo "$password") --auth-host=scram-sha-256 --auth-local=trust
  unset password
  echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
  echo "listen_addresses='*'" >>"$PGDATA/postgresql.conf"
  pg_ctl -w -o "-c listen_addresses=''" start
  [ "$database" = postgres ] || psql -U "$user" -d postgres -c "CREATE DATABASE \"$database\""
  export POSTGRES_USER="$user" POSTGRES_DB="$database"
  for script in /docker-entrypoint-initdb.d/*; do
    case $script in
      *.sql) psql -v ON_ERROR_STOP=1 -U "$user" -d "$database" -f "$script" ;;
      *.sh) bash "$script" ;;
    esac
  done
  pg_ctl -w -m fast stop
  echo "PostgreSQL init process complete; ready for start up."
fi
exec "$@"
