"""What the tests of the page read and press in the browser."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser without a window; where there is none, the test is skipped."""
    api = pytest.importorskip("playwright.sync_api", reason="no playwright, pip install playwright")
    program = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"no browser, one of {', '.join(BROWSERS)}")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


def column(page: Any, table: str, name: str) -> list[str]:
    """The texts of a column, from top to bottom, without the differences from what is published."""
    place = page.locator(f"#table-{table} thead th").all_inner_texts().index(name)
    cells = page.locator(f"#table-{table} tbody tr td:nth-child({place + 1})").all_inner_texts()
    return [text.split("\n")[0] for text in cells]


def sort(page: Any, table: str, name: str) -> list[float | None]:
    header = page.locator(f"#table-{table} thead th").filter(has_text=re.compile(f"^{name}$"))
    before = header.get_attribute("aria-sort")
    header.click()
    wait_until_sorted(page, table, name, "ascending" if before is None else "descending")
    return [float(text.replace(",", "")) if text else None for text in column(page, table, name)]


def wait_until_sorted(page: Any, table: str, name: str, direction: str) -> None:
    """The table draws itself anew after the event, not in it."""
    header = page.locator(f"#table-{table} th[aria-sort={direction}]")
    header.filter(has_text=re.compile(f"^{name}$")).wait_for(timeout=10_000)


def number(page: Any, value: float) -> Any:
    """The button of a number in the main table."""
    return page.locator("#table-main tbody").get_by_role("button", name=f"{value:,.2f}", exact=True)
