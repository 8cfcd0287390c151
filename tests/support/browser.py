"""A real browser, where one is installed: what a page looks like at a width, and what sticks out of it."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
DEADLINE_S = 90
RESULT = re.compile(r'<pre id="found">(.*?)</pre>', re.DOTALL)

MEASURE = """
const scrolls = (e) => e.closest(".wide") !== null;
const name = (e) => `${e.tagName} ${e.className.baseVal ?? e.className}`;
const frame = document.querySelector("iframe");
frame.addEventListener("load", () => {
  const page = frame.contentDocument, width = page.documentElement.clientWidth;
  const out = [], cut = [], over = [];
  for (const e of page.querySelectorAll("body *")) {
    const box = e.getBoundingClientRect();
    if ((box.right > width + 1 || box.left < -1) && box.width > 0 && !scrolls(e)) out.push(`${name(e)} ${box.right}`);
  }
  for (const text of page.querySelectorAll("svg text")) {
    const box = text.getBoundingClientRect(), own = text.ownerSVGElement.getBoundingClientRect();
    if (box.left < own.left - 1.5 || box.right > own.right + 1.5 || box.bottom > own.bottom + 1.5) cut.push(text.textContent);
  }
  for (const e of page.querySelectorAll(".pill, h4, td, .tile, .tile *, .figure, .gate > div")) {
    if (getComputedStyle(e).display !== "inline" && e.scrollWidth > e.clientWidth + 1) over.push(`${name(e)} ${e.textContent}`);
  }
  document.getElementById("found").textContent = JSON.stringify({
    width, scroll: page.documentElement.scrollWidth, pictures: page.querySelectorAll("svg").length,
    out: out.slice(0, 9), cut: cut.slice(0, 9), over: over.slice(0, 9),
  });
});
"""


@dataclass(frozen=True)
class Browser:
    """Starts it anew for every question: nothing is left running."""

    program: str
    folder: Path

    @staticmethod
    def installed(folder: Path) -> Browser | None:
        """The first that is there."""
        found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
        return None if found is None else Browser(found, folder)

    def measure(self, page: str, width: int) -> dict[str, object]:
        """A page laid out at a width in CSS pixels: what is wider than it, which words of a picture are cut off."""
        frame = f'<iframe width="{width}" height="900" style="border:0" srcdoc="{html.escape(page)}"></iframe>'
        wrapper = self.folder / f"measure-{width}.html"
        wrapper.write_text(f'<!doctype html><body><pre id="found"></pre>{frame}<script>{MEASURE}</script>', "utf-8")
        dumped = self._run("--dump-dom", "--virtual-time-budget=10000", wrapper.as_uri())
        found: dict[str, object] = json.loads(html.unescape(RESULT.findall(dumped)[0]))
        return found

    def screenshot(self, file: Path, width: int, height: int, *options: str) -> bytes:
        """A PNG of the page's beginning."""
        picture = self.folder / f"{file.stem}-{width}{'-'.join(options)}.png"
        self._run(f"--window-size={width},{height}", f"--screenshot={picture}", *options, file.as_uri())
        return picture.read_bytes()

    def printed(self, file: Path) -> bytes:
        """A PDF as the printer gets it."""
        paper = self.folder / f"{file.stem}.pdf"
        self._run(f"--print-to-pdf={paper}", "--no-pdf-header-footer", file.as_uri())
        return paper.read_bytes()

    def _run(self, *options: str) -> str:
        profile = self.folder / "profile"
        command = [
            self.program,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            f"--user-data-dir={profile}",
        ]
        done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=DEADLINE_S, check=True)
        return done.stdout
