"""A page in headless Chromium, driven through Debian's chromedriver; no download of either."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from selenium import webdriver
from selenium.webdriver import ActionChains
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.actions.pointer_input import PointerInput
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)
SOFTWARE_GL = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader")
NO_GL = ("--disable-3d-apis",)
WINDOW = (1280, 1000)


class Browser:
    """One browser; `open` shows a file and forgets what the console said before."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, page: Path) -> None:
        self.driver.get(page.as_uri())
        self.driver.get_log("browser")
        self.driver.refresh()

    def errors(self) -> list[str]:
        """What the console has as an error since the page was opened."""
        return [
            entry["message"]
            for entry in self.driver.get_log("browser")
            if entry["level"] == "SEVERE"
        ]

    def run(self, script: str, *values: object) -> Any:
        return self.driver.execute_script(script, *values)

    def find(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        """What elements say, whether or not they are in view."""
        found = self.driver.find_elements(By.CSS_SELECTOR, selector)
        return [str(element.get_property("textContent")) for element in found]

    def show(self, element: WebElement) -> None:
        """Scroll so that an element is in the middle of the window."""
        self.run("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", element)

    def hover(self, element: WebElement, x: float, y: float) -> None:
        """Move the pointer to (x, y) CSS pixels from the element's top left corner."""
        self.show(element)
        width, height = element.size["width"], element.size["height"]
        actions = ActionChains(self.driver, duration=0)
        actions.move_to_element_with_offset(element, round(x - width / 2), round(y - height / 2))
        actions.perform()

    def tap(self, element: WebElement, x: float, y: float, pointer: str) -> None:
        """Press and release, by `mouse` or `touch`, (x, y) CSS pixels from the top left corner."""
        place = element.rect
        scrolled = self.run("return [scrollX, scrollY]")
        actions = ActionBuilder(self.driver, mouse=PointerInput(pointer, pointer), duration=0)
        at = round(place["x"] - scrolled[0] + x), round(place["y"] - scrolled[1] + y)
        actions.pointer_action.move_to_location(*at).pointer_down().pointer_up()
        actions.perform()

    def drag(self, element: WebElement, x: int, y: int) -> None:
        """Press in the middle of an element and move by so many pixels."""
        self.show(element)
        ActionChains(self.driver, duration=50).drag_and_drop_by_offset(element, x, y).perform()

    def picture(self, element: WebElement) -> np.ndarray:
        """(H, W, 3) uint8, what the screen shows of an element."""
        self.show(element)
        data = np.frombuffer(element.screenshot_as_png, np.uint8)
        return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))


@contextmanager
def browser(profile: Path, *flags: str) -> Iterator[Browser]:
    """A browser with a fresh profile; skips where Chromium or its driver is missing."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    driver_program = shutil.which("chromedriver")
    if program is None or driver_program is None:
        pytest.skip("needs chromium and chromedriver (Debian: chromium, chromium-driver)")
    options = Options()
    options.binary_location = program
    size = f"--window-size={WINDOW[0]},{WINDOW[1]}"
    for flag in (*QUIET, *flags, size, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(driver_program))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
