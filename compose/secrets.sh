#!/usr/bin/env bash
# Makes what is missing of the stack's secrets, as files that compose mounts: random, once, never overwritten.
#   ./secrets.sh [--external] [folder]      (default: secrets, beside this file)
# With --external, for brokers and databases of your own, it makes what is ours to make and says what you have to write.
# The folder is closed to everybody else; the files in it are readable, because containers read them under accounts of their own.
set -euo pipefail
umask 077
external=
if [ "${1:-}" = --external ]; then external=yes; shift; fi
folder=${1:-$(cd "$(dirname "$0")" && pwd)/secrets}
mkdir -p "$folder"
chmod 700 "$folder"

random() { head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=\n'; }

put() { # name, value
  local file=$folder/$1
  [ -e "$file" ] && return
  printf '%s' "$2" >"$file.new"
  chmod 444 "$file.new"
  mv "$file.new" "$file"
  made="${made:-} $1"
}

for name in transport_key mask_secret grafana_admin_password; do put "$name" "$(random)"; done

if [ -n "$external" ]; then
  [ -z "${made:-}" ] || echo "made in $folder:$made"
  for name in source_url destination_url canaries source_ca destination_ca kafka_ca kafka_{reader,generator,writer,trainer,cli}_password; do
    [ -e "$folder/$name" ] || missing="${missing:-} $name"
  done
  [ -z "${missing:-}" ] || { echo "to be written by you, mode 444, into $folder:$missing" >&2; exit 2; }
  exit 0
fi

for name in source_admin_password source_reader_password destination_admin_password destination_writer_password; do
  put "$name" "$(random)"
done
# The demo's databases.
put source_url "postgresql://tailrace_reader:$(cat "$folder/source_reader_password")@source:5432/production"
put destination_url "postgresql://tailrace_writer:$(cat "$folder/destination_writer_password")@destination:5432/staging"
# Strings of the demo's source that must be nowhere in the destination, one a line.
put canaries "$(printf 'MARY.SMITH@sakilacustomer.org\nPATRICIA.JOHNSON@sakilacustomer.org')"
[ -z "${made:-}" ] || echo "made in $folder:$made"
