"""What a page loads and links to, and what it says where nothing is missing; without a browser."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from lorap.artifacts import catalogue
from lorap.report.build import build_report
from tests.results_folder import fill, small_spec

pytestmark = pytest.mark.system


class Links(HTMLParser):
    """Collects what a page would load, and what it links to."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.linked: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "a":
            self.linked.append(str(found.get("href")))
        else:
            self.loaded += [str(found[name]) for name in ("src", "href", "srcset", "data") if name in found]


def test_the_page_loads_nothing_and_links_only_to_files_of_the_report(tmp_path: Path) -> None:
    spec = small_spec()
    build_report(spec, fill(spec, tmp_path))
    file = tmp_path / "report" / catalogue.PAGE
    links = Links()
    links.feed(file.read_text())
    assert all(address.startswith("data:") for address in links.loaded)
    local = [address for address in links.linked if not address.startswith("#")]
    assert set(local) <= set(catalogue.report_files())
    anchors = {address[1:] for address in links.linked if address.startswith("#")}
    assert anchors <= set(re.findall(r' id="([^"]+)"', file.read_text()))


def test_there_is_no_warning_where_all_is_measured_and_near(tmp_path: Path) -> None:
    spec = small_spec(models=["llama-2-7b"])  # of which nothing is published
    build_report(spec, fill(spec, tmp_path))
    text = (tmp_path / "report" / catalogue.PAGE).read_text()
    assert "None: every cell of the grid is measured" in text
    assert "5% of a perplexity or 2 points of an accuracy" in text
