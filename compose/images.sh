#!/usr/bin/env bash
# Builds the images of the services and the command, and says how large they are.
#   ./images.sh [target …]       (default: all five; `./images.sh --sizes` only says)
# Variables: TAILRACE_IMAGES (tailrace) and TAILRACE_VERSION (latest) name them; PYTHON_IMAGE, PG_DUMP_IMAGE, TORCH, TORCH_INDEX are
# the Dockerfile's arguments, DOCKER another client. Works with BuildKit and with the classic builder.
set -euo pipefail
cd "$(dirname "$0")/.."
repository=${TAILRACE_IMAGES:-tailrace} tag=${TAILRACE_VERSION:-latest}
all=(cli generator writer reader trainer)

if [ "${1:-}" != --sizes ]; then
  arguments=(--build-arg "REVISION=$(git rev-parse HEAD 2>/dev/null || echo unknown)")
  # The time of the commit, not of the build: the same source gives the same labels, and the layers after them stay cached.
  arguments+=(--build-arg "CREATED=$(git log -1 --format=%cI 2>/dev/null || echo unknown)")
  for name in PYTHON_IMAGE PG_DUMP_IMAGE TORCH TORCH_INDEX; do
    [ -z "${!name+set}" ] || arguments+=(--build-arg "$name=${!name}")
  done
  [ "$tag" = latest ] || arguments+=(--build-arg "VERSION=$tag")
  targets=("$@")
  [ ${#targets[@]} -gt 0 ] || targets=("${all[@]}")
  for target in "${targets[@]}"; do
    echo "building $repository/$target:$tag"
    "${DOCKER:-docker}" build --quiet --file compose/Dockerfile --target "$target" --tag "$repository/$target:$tag" "${arguments[@]}" . >/dev/null
  done
fi

base=$(docker image inspect --format '{{len .RootFS.Layers}} {{.Size}}' "${PYTHON_IMAGE:-python:3.11.14-slim-bookworm}" 2>/dev/null || echo "? 0")
printf '%-12s %9s %18s\n' image size 'without its base'
for target in "${all[@]}"; do
  if size=$(docker image inspect --format '{{.Size}}' "$repository/$target:$tag" 2>/dev/null); then
    printf '%-12s %6d MB %15d MB\n' "$target" $((size / 1000000)) $(((size - ${base#* }) / 1000000))
  fi
done
