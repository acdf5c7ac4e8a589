"""A real browser, headless, for pages that a person opens from a file.

The fixture `browser` is known to all tests by conftest.py. Where CI is set, a machine without Chromium fails;
elsewhere its tests are skipped, and say why. CHROMIUM names another one than the PATH has.
"""

import contextlib
import os
import shutil

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")

# every visible text of the page with less contrast than WCAG 2 asks of normal text: [ratio, text]
CONTRAST = """
(least) => {
  const luminance = ([r, g, b]) => {
    const linear = (c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    const [x, y, z] = [r, g, b].map((c) => linear(c / 255));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const rgba = (text) => {
    const parts = text.match(/[\\d.]+/g).map(Number);
    return parts.length === 3 ? [...parts, 1] : parts;
  };
  const over = (top, below) => below.map((c, i) => top[i] * top[3] + c * (1 - top[3]));
  const ground = (element) => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) layers.unshift(rgba(getComputedStyle(e).backgroundColor));
    return layers.reduce((below, layer) => over(layer, below), [255, 255, 255]);
  };
  const poor = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let count = 0;
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement, style = getComputedStyle(element);
    if (!node.textContent.trim() || ["SCRIPT", "STYLE", "NOSCRIPT"].includes(element.tagName)) continue;
    if (!element.getClientRects().length || style.visibility === "hidden") continue;
    const below = ground(element), colour = over(rgba(style.color), below);
    const [dark, light] = [luminance(below), luminance(colour)].sort((a, b) => a - b);
    const ratio = (light + 0.05) / (dark + 0.05);
    count += 1;
    if (ratio < least) poor.push([ratio, node.textContent.trim().slice(0, 40)]);
  }
  return [count, poor];
}
"""


@pytest.fixture(scope="session")
def browser():
    """Chromium, as playwright drives it; pages come from `opened`."""
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if not path:
        lacking("Chromium is not installed: apt-get install chromium, or name one by CHROMIUM")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


def lacking(reason):
    """Fail where CI is set, so that no test is passed over there unseen; else skip."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


class Trouble(list):
    """What a page said on its console, threw, or asked of the network."""


@contextlib.contextmanager
def opened(browser, path, width=1280, scheme="light"):
    """(page, Trouble) of a file; what it has loaded is in the Trouble but for the file itself."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page, trouble = context.new_page(), Trouble()
    page.on("console", lambda message: trouble.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: trouble.append(f"error: {error}"))
    context.on("request", lambda request: trouble.append(f"request: {request.url}"))
    page.goto(path.as_uri())
    assert trouble.pop(0) == f"request: {path.as_uri()}"
    yield page, trouble
    context.close()


def poor_contrast(page, least=4.5):
    """Visible texts with less contrast than this; an empty page has none and is no proof."""
    count, poor = page.evaluate(CONTRAST, least)
    assert count > 0
    return poor


def overflow(page):
    """How many pixels the page is wider than its window."""
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
