"""A page in headless Chromium: what overflows, is cut off, too small, missing or complained about.

    python tests/browser.py runs/quickstart/report.html

prints what is wrong on a screen and on a phone, and leaves a picture of each beside the page.
"""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

SIZES = {"screen": (1280, 900), "phone": (390, 844)}
SMALLEST_TEXT = 11
"""CSS pixels."""
LIMIT = 120
"""Seconds; a start takes about two."""
CHECKER = """
<script>
function scrolls(node) {
  for (let box = node.parentElement; box; box = box.parentElement)
    if (["auto", "scroll"].includes(getComputedStyle(box).overflowX)) return true;
  return false;
}
function named(node) {
  const kind = node.getAttribute("class");
  const text = (node.textContent || "").trim().slice(0, 40);
  return node.tagName.toLowerCase() + (kind ? "." + kind : "") + (text ? ` "${text}"` : "");
}
function overflowing(node, box) {
  if ((box.right > innerWidth + 0.5 || box.left < -0.5) && !scrolls(node))
    return `${named(node)} reaches from ${box.left.toFixed()} to ${box.right.toFixed()}`;
}
function cut(node, box) {
  const frame = node.ownerSVGElement && node.ownerSVGElement.getBoundingClientRect();
  if (frame && (box.right > frame.right + 1 || box.left < frame.left - 1 ||
                box.top < frame.top - 1 || box.bottom > frame.bottom + 1))
    return `${named(node)} is cut off by its drawing`;
}
function small(node) {
  const own = [...node.childNodes].some(n => n.nodeType == 3 && n.textContent.trim());
  const svg = node.ownerSVGElement;
  if (!own || node.tagName == "title") return;
  const scale = svg ? svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : 1;
  const size = parseFloat(getComputedStyle(node).fontSize) * scale;
  if (size < SMALLEST - 0.05) return `${named(node)} is ${size.toFixed(1)} px high`;
}
function absent(node) {
  if (node.tagName == "IMG" && !node.naturalWidth) return "an image is not there";
}
addEventListener("load", () => {
  document.querySelectorAll("details").forEach(node => node.open = true);
  const problems = innerWidth == WIDTH ? [] : [`drawn ${innerWidth} px wide`];
  const wide = document.documentElement.scrollWidth;
  if (wide > innerWidth) problems.push(`the page is ${wide} px wide`);
  let looked = 0;
  for (const node of document.body.querySelectorAll("*")) {
    const box = node.getBoundingClientRect();
    if (!box.width || !box.height || node.tagName == "SCRIPT") {
      if (absent(node)) problems.push(absent(node));
      continue;
    }
    looked += 1;
    for (const wrong of [overflowing(node, box), cut(node, box), small(node), absent(node)])
      if (wrong) problems.push(wrong);
  }
  parent.postMessage({problems, looked}, "*");
});
</script>
"""
FRAME = """<!doctype html><meta charset="utf-8">
<style>body { margin: 0 } iframe { border: 0 }</style>
<pre id="found" hidden></pre><script>
addEventListener("message", told => found.textContent = JSON.stringify(told.data));
</script><iframe src="page.html" width="WIDTH" height="HEIGHT"></iframe>
"""
"""A frame, because a window of Chromium cannot be as narrow as a phone."""


def chromium() -> str | None:
    """The browser of this machine, if it has one."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((found for name in names if (found := shutil.which(name))), None)


def problems(page: Path, width: int, height: int) -> list[str]:
    """Everything that is wrong with a page of this size; nothing is loaded but the page."""
    with tempfile.TemporaryDirectory() as folder:
        _write_frame(Path(folder), page.read_text(), width, height, CHECKER)
        dump = _run(Path(folder), ["--dump-dom"])
    found = re.search(r'<pre id="found"[^>]*>(.+?)</pre>', dump.stdout, re.S)
    assert found, f"the page was never loaded:\n{dump.stderr}"
    told = json.loads(html.unescape(found[1]))
    assert told["looked"] > 10, "an empty page has no problems"
    console = re.findall(r":CONSOLE[^\]]*\] (.*)", dump.stderr)
    return [*dict.fromkeys(told["problems"]), *(f"console: {line}" for line in console)]


def picture(page: Path, width: int, height: int, file: Path) -> None:
    """A PNG of what is seen first."""
    with tempfile.TemporaryDirectory() as folder:
        _write_frame(Path(folder), page.read_text(), width, height, "")
        _run(Path(folder), [f"--screenshot={file}", f"--window-size={max(500, width)},{height}"])


def _write_frame(folder: Path, page: str, width: int, height: int, checker: str) -> None:
    values = {"WIDTH": width, "HEIGHT": height, "SMALLEST": SMALLEST_TEXT}
    for name, value in values.items():
        checker = checker.replace(name, str(value))
    (folder / "page.html").write_text(page.replace("</head>", f"{checker}</head>"))
    frame = FRAME.replace("WIDTH", str(width)).replace("HEIGHT", str(height))
    (folder / "index.html").write_text(frame)


def _run(folder: Path, options: Sequence[str]) -> subprocess.CompletedProcess[str]:
    browser = chromium()
    assert browser, "no Chromium on this machine"
    return subprocess.run(
        [
            browser,
            "--headless",
            "--disable-gpu",
            "--hide-scrollbars",
            "--no-first-run",
            "--enable-logging=stderr",
            "--virtual-time-budget=10000",
            f"--user-data-dir={folder / 'profile'}",
            *(["--no-sandbox"] if os.getuid() == 0 else []),  # it refuses to be root otherwise
            *options,
            f"file://{folder / 'index.html'}",
        ],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )


def main() -> int:
    page, wrong = Path(sys.argv[1]), 0
    for name, (width, height) in SIZES.items():
        file = page.with_name(f"{page.stem}-{name}.png").absolute()
        picture(page, width, height, file)
        found = problems(page, width, height)
        wrong += len(found)
        sys.stdout.write(
            f"{name}, {width} x {height}: {file}\n" + "".join(f"  {p}\n" for p in found)
        )
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
