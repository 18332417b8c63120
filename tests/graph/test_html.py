"""The HTML page of a Graph, in a real browser.

Without one the tests skip; under ``LIBGRAD_REQUIRE_BROWSER=1`` they fail instead.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from graph import browser
from torch import nn

import libgrad

MARKUP = "</script><script>alert(1)</script><img src=x onerror=alert(1)>'\"&amp;\0é"
SHOWN = "section:not([hidden]) "


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Browser]:
    path = browser.find()
    if path is None:
        if os.environ.get("LIBGRAD_REQUIRE_BROWSER") == "1":
            pytest.fail("LIBGRAD_REQUIRE_BROWSER=1, but there is no Chromium")
        pytest.skip("no Chromium (LIBGRAD_BROWSER may name one)")
    window = browser.Browser(path, tmp_path_factory.mktemp("profile"))
    yield window
    window.close()


@pytest.fixture(scope="module")
def model_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty equal layers behind a first one, and an in-place write into what a node saved."""
    blocks = [nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.LayerNorm(4)) for _ in range(20)]
    model = nn.Sequential(nn.Linear(2, 4), *blocks)
    y = model(torch.ones(3, 2)).exp()
    loss = y.sum()
    y.detach().add_(1)
    page = tmp_path_factory.mktemp("page") / "model.html"
    page.write_text(libgrad.graph(loss, params=model).to_html(title="Twenty"), encoding="utf-8")
    return page


@pytest.fixture
def page(chromium: browser.Browser, model_page: Path) -> Iterator[browser.Browser]:
    """The page, just loaded; at the end it has said nothing and asked for nothing."""
    chromium.open(model_page)
    assert chromium.run("'ready' in document.documentElement.dataset")
    yield chromium
    assert chromium.said() == []
    assert chromium.requests() == [model_page.as_uri()]


def details(page: browser.Browser) -> str:
    return page.run("document.getElementById('details').innerText")


def box(text: str, attribute: str = "data-node") -> str:
    """An expression for the box that is shown and whose first line is `text`."""
    return (
        f"[...document.querySelectorAll('{SHOWN}[{attribute}]')]"
        f".find((g) => g.querySelector('text').textContent === {json.dumps(text)})"
    )


def view(page: browser.Browser) -> list[float]:
    return page.run(
        f"document.querySelector('{SHOWN}svg').getAttribute('viewBox').split(' ').map(Number)"
    )


def test_click_shows_what_a_node_saved(page):
    page.click(f"{SHOWN}[data-node]:nth-of-type(3)")
    assert page.run("document.querySelectorAll('.selected').length") == 1
    assert page.run("document.querySelectorAll('path.on').length") > 0
    text = details(page)
    assert text.startswith("ExpBackward0")
    for part in ("float32 [3, 4]", "Saved tensors", "result", "48 B", "written to since"):
        assert part in text
    assert "saved at version 0, now at 1" in text


def test_neighbours_lead_from_node_to_node(page):
    page.click(f"{SHOWN}[data-node]:nth-of-type(3)")
    page.click("#details .link button")
    assert details(page).startswith("SumBackward0")
    assert "Gradients go to" in details(page)
    assert "Gradients come from" not in details(page)


def test_search_finds_nodes_and_goes_there(page):
    page.press("/")
    for letter in "12.0.WEI":
        page.press(letter)
    assert page.run("document.querySelectorAll('#found button').length") == 1
    page.press("Enter")
    assert details(page).startswith("12.0.weight")
    left, top, width, height = page.run(
        "(() => { const r = document.querySelector('.selected').getBoundingClientRect();"
        " return [r.x, r.y, r.width, r.height]; })()"
    )
    assert 0 < left < left + width < 1400
    assert 0 < top < top + height < 900
    page.press("/")
    page.run("document.getElementById('search').value = ''")
    for letter in "xyz":
        page.press(letter)
    assert page.run("document.getElementById('found').innerText") == "nothing found"
    page.press("Escape")
    assert page.run("document.getElementById('found').children.length") == 0


def test_box_of_equal_layers_opens_and_closes(page):
    assert page.run("document.querySelector('header [aria-pressed=true]').innerText") == "Folded"
    group = f"{SHOWN}[data-group]"
    page.click(group)
    assert "each" in details(page)
    page.click(group)
    assert "one of 20" in page.run("document.getElementById('trail').innerText")
    assert page.run(f"!!{box('LayerNormBackward0')} || !!{box('NativeLayerNormBackward0')}")
    page.press("Escape")
    assert page.run("document.getElementById('trail').innerText") == ""
    page.click('header [data-view="1"]')
    assert page.run(f"document.querySelectorAll('{SHOWN}[data-node]').length") > 90


def test_keyboard_goes_from_box_to_box(page):
    page.press("ArrowDown")
    assert details(page).startswith("SumBackward0")
    page.press("ArrowDown")
    assert details(page).startswith("ExpBackward0")
    page.press("ArrowUp")
    assert details(page).startswith("SumBackward0")
    assert page.run("document.activeElement === document.querySelector('.selected')")
    for _ in range(3):
        if not page.run("document.querySelector('.selected').dataset.group"):
            page.press("ArrowDown")
    page.press("Enter")
    assert "one of 20" in page.run("document.getElementById('trail').innerText")


def test_tab_reaches_the_graph(page):
    for _ in range(9):
        page.press("Tab")
        if page.run("document.activeElement.dataset.node") is not None:
            break
    assert page.run("document.activeElement === document.querySelector('.selected')")
    assert details(page).startswith("SumBackward0")


def test_wheel_zooms_and_drag_moves(page):
    width = view(page)[2]
    page.mouse("mouseWheel", 500, 400, deltaX=0, deltaY=-300)
    assert view(page)[2] < width * 0.8
    page.press("-")
    page.press("0")
    fitted = view(page)
    page.mouse("mousePressed", 300, 300, button="left", clickCount=1)
    page.mouse("mouseMoved", 360, 340, button="left", buttons=1)
    page.mouse("mouseReleased", 360, 340, button="left", clickCount=1)
    moved = view(page)
    assert moved[2:] == fitted[2:]
    assert moved[0] < fitted[0]
    assert moved[1] < fitted[1]
    page.click("#in")
    assert view(page)[2] < moved[2]
    page.click("#fit")
    assert view(page) == fitted


def test_text_fits_its_box(page):
    page.click('header [data-view="1"]')
    worst = page.run(
        f"Math.max(...[...document.querySelectorAll('{SHOWN}[data-node]')].flatMap((g) =>"
        " [...g.querySelectorAll('text')].map((t) =>"
        " t.getBBox().width - g.querySelector('rect[rx=\"5\"]').getBBox().width)))"
    )
    assert worst < -4


def test_names_are_text_and_nothing_else(chromium, tmp_path):
    x = torch.ones(2, requires_grad=True)
    g = libgrad.graph(x.exp(), params={MARKUP: x})
    path = tmp_path / "markup.html"
    path.write_text(g.to_html(title=MARKUP), encoding="utf-8")
    chromium.open(path)
    assert chromium.run("document.title") == MARKUP.replace("\0", "␀")
    assert chromium.run("document.querySelectorAll('img, body script').length") == 2
    chromium.press("ArrowDown")
    chromium.press("ArrowDown")
    assert details(chromium).startswith(MARKUP.replace("\0", "")[:20])
    assert chromium.run("document.querySelectorAll('img').length") == 0
    assert chromium.said() == []


def test_svg_alone_is_a_picture(chromium, tmp_path):
    path = tmp_path / "markup.svg"
    x = torch.ones(2, requires_grad=True)
    path.write_text(libgrad.graph(x.exp(), params={MARKUP: x}).to_svg(), encoding="utf-8")
    chromium.open(path)
    assert chromium.run("document.documentElement.tagName") == "svg"
    assert chromium.run("document.querySelectorAll('rect').length") > 4
