"""A browser without a window: Chromium, driven by Selenium, with no network but what a page asks for itself."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from page_examples import make_summary

from harness.report import render

QUIET = (
    "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update "
    "--disable-sync --disable-dev-shm-usage"
)
AXE = "axe-core/axe.min.js"


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.xdist_group("browser"))


class Browser:
    """A window on one page. requests: the addresses that the page asked for, its own file left out."""

    def __init__(self, driver):
        self.driver = driver

    def open(self, page: Path, dark: bool = False, width: int = 1280) -> Browser:
        self.driver.set_window_size(width, 900)
        value = "dark" if dark else "light"
        features = {"features": [{"name": "prefers-color-scheme", "value": value}]}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", features)
        self.driver.get_log("performance")
        self.driver.get(page.as_uri())
        return self

    def requests(self) -> list[str]:
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        sent = [each["params"]["request"]["url"] for each in events if each["method"] == "Network.requestWillBeSent"]
        return [address for address in sent if address not in (self.driver.current_url, "data:,")]

    def run(self, script: str, *arguments):
        return self.driver.execute_script(script, *arguments)

    def find(self, selector: str):
        return self.driver.find_elements("css selector", selector)

    def errors(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]


@pytest.fixture(scope="session")
def start() -> Callable[..., Browser]:
    """start(scripts=True): a browser. Skips where there is none."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed: the extra [test] has it")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    driver = shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("no Chromium with its chromedriver here")

    def call(scripts: bool = True) -> Browser:
        options = webdriver.ChromeOptions()
        options.binary_location = chromium
        for argument in QUIET.split():
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
        if not scripts:
            options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
        return Browser(webdriver.Chrome(options=options, service=webdriver.ChromeService(driver)))

    return call


@pytest.fixture(scope="module")
def browser(start) -> Iterator[Browser]:
    made = start()
    yield made
    made.driver.quit()


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Callable[[str], Path]:
    """page(name): the file of an example."""
    folder = tmp_path_factory.mktemp("pages")

    def write(name: str) -> Path:
        path = folder / f"{name}.html"
        if not path.exists():
            path.write_text(render(make_summary(name), "html"), encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def axe(tmp_path_factory) -> str:
    """The source of axe-core: of the folder that AXE_CORE names, or installed by npm for these tests."""
    given = os.environ.get("AXE_CORE")
    path = Path(given) if given else tmp_path_factory.mktemp("axe") / "node_modules" / AXE
    if not given and shutil.which("npm"):
        command = ["npm", "install", "--silent", "--prefix", str(path.parents[2]), "axe-core"]
        subprocess.run(command, capture_output=True, timeout=120, check=False)
    if not path.is_file():
        pytest.skip("no axe-core here: npm could not install it, and AXE_CORE names no axe.min.js")
    return path.read_text(encoding="utf-8")
