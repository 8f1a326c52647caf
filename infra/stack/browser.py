"""Which browser the tests drive: an installed Chromium or Chrome, else Debian's, else Playwright's own.

`python -m infra.stack.browser` sees to it that there is one.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright


def installed() -> Path | None:
    """The browser of this machine, or the one that Playwright has downloaded; None where there is neither."""
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        if found := shutil.which(name):
            return Path(found)
    with sync_playwright() as playwright:
        own = Path(playwright.chromium.executable_path)
    return own if own.exists() else None


def ensure() -> Path:
    """Install a browser where there is none; ends the process with a sentence where that fails."""
    if found := installed():
        return found
    ways = [[sys.executable, "-m", "playwright", "install", "chromium"]]
    if os.geteuid() == 0 and shutil.which("apt-get"):
        ways.insert(0, ["sh", "-c", "apt-get update && apt-get install -y --no-install-recommends chromium"])
    for way in ways:
        subprocess.run(way)
        if found := installed():
            return found
    sys.exit("The browser tests need Chromium or Chrome, and none could be installed: install one and try again.")


if __name__ == "__main__":
    sys.stdout.write(f"Browser: {ensure()}\n")
