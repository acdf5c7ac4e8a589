"""reference trace, opened in a real browser: what a person sees, clicks and reads there."""

import re

import numpy as np
import pytest

from minigpt.choice import Choice
from reference.trace.write import write_trace
from tests.support.browser import opened, overflow, poor_contrast
from tests.support.trace_page import read_page

TEXT = "The state of the Union <b>is</b> </script> strong"
WIDTHS, SCHEMES = (360, 768, 1280), ("light", "dark")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("trace") / "trace.html"
    write_trace(TEXT, path)
    return path


@pytest.fixture(scope="module")
def data(path):
    return read_page(path)


@pytest.fixture
def page(browser, path):
    with opened(browser, path) as (page, trouble):
        yield page
        assert trouble == []


def tensor_of(data, function, label, name):
    (event,) = data.events(function, label)
    return data.tensor(event, name)


def chosen(page, number):
    """Click a tensor's first button."""
    page.locator(f'main .tensor[data-tensor="{number}"]').first.click()


def marked(page, role):
    """The numbers of the events whose cards, and whose places on the map, have a role."""
    found = [{int(number) for number in page.locator(f"{place}.{role}").evaluate_all(
        "all => all.map((one) => one.dataset.event)")} for place in ("article", "#map .cell")]  # fmt: skip
    assert found[0] == found[1]
    return found[0]


def test_the_page_shows_every_operation_and_asks_for_nothing(browser, path, data):
    with opened(browser, path) as (page, trouble):
        count = sum(event["shown"] and event["kind"] != "block" for event in data.trace["events"])
        assert page.locator("article.card").count() == page.locator("#map .cell").count() == count
        assert page.locator("h1").text_content() == TEXT
        assert page.locator("b", has_text=re.compile("^is$")).count() == 0
        page.evaluate("async () => { for (let y = 0; y < document.body.scrollHeight; y += 600) {"
                      "scrollTo(0, y); await new Promise(requestAnimationFrame); } }")  # fmt: skip
        page.wait_for_timeout(300)
        assert trouble == []


def test_a_click_shows_where_a_tensor_comes_from_and_where_it_goes(page, data):
    number = tensor_of(data, "linear_forward", "h.0.attn.c_attn", "y")
    tensor = data.trace["tensors"][number]
    assert marked(page, "makes") == marked(page, "uses") == set()
    chosen(page, number)
    assert marked(page, "makes") == {tensor["maker"]}
    assert marked(page, "uses") == set(tensor["users"])
    pressed = page.locator('[aria-pressed="true"]')
    pressed = pressed.evaluate_all("all => all.map((one) => one.dataset.tensor)")
    assert set(pressed) == {str(number)}
    assert len(pressed) >= 2
    inspector = page.locator("#inspector")
    assert inspector.locator("h2").text_content() == "h.0.attn.c_attn: qkv"
    inspector.get_by_role("button", name="h.0.attention: dqkv").click()
    gradient = data.trace["tensors"][tensor["gradient"]]
    assert marked(page, "makes") == {gradient["maker"]}
    inspector.get_by_role("button", name="h.0.attention, backward").click()
    assert page.evaluate("document.activeElement.closest('article').dataset.event") == str(gradient["maker"])
    page.keyboard.press("Escape")
    assert marked(page, "makes") == marked(page, "uses") == set()


def test_the_keyboard_is_enough(page, data):
    number = tensor_of(data, "layernorm_forward", "h.0.ln_1", "y")
    button = page.locator(f'main .tensor[data-tensor="{number}"]').first
    button.focus()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    heat = page.locator("#inspector canvas[tabindex]").first
    heat.focus()
    read = page.locator("#inspector output")
    array = data.array(number)[0]
    assert shown(read) == pytest.approx(float(array[0, 0]), rel=1e-4)
    for key in ("ArrowDown", "ArrowDown", "ArrowRight", "ArrowLeft", "ArrowRight"):
        page.keyboard.press(key)
    assert shown(read) == pytest.approx(float(array[2, 1]), rel=1e-4)
    assert read.text_content().startswith("position 2 ")
    page.keyboard.press("Escape")
    assert button.evaluate("one => one === document.activeElement")


def shown(output):
    """The number at the end of a readout."""
    return float(output.text_content().rpartition(": ")[2].replace("\u2212", "-"))


def test_the_pointer_reads_numbers_and_colours_tell_their_sign(page, data):
    number = tensor_of(data, "attention_forward", "h.0.attention", "probs")
    array, T = data.array(number)[0], len(data.trace["ids"])
    heads = page.locator("article .attention").first.locator("canvas")
    assert heads.count() == len(array)
    canvas = heads.nth(1)
    canvas.scroll_into_view_if_needed()
    left, top, cell, tall = canvas.evaluate(
        "(one, number) => { const t = trace.tensors[number], p = layoutOf(panelsOf(t)[1], 210);"
        "return [p.left, p.top, p.width, p.height]; }", number)  # fmt: skip
    canvas.hover(position={"x": left + cell * 1.5, "y": top + tall * (T - 0.5)})
    tip = page.locator("#tip")
    assert shown(tip) == pytest.approx(float(array[1, T - 1, 1]), rel=1e-4)
    assert tip.text_content().startswith("head 1, position ")
    colours = page.evaluate("[shade(-1, 1), shade(0, 1), shade(1, 1), shade(9, 1)]")
    red, blue = [colour[0] for colour in colours], [colour[2] for colour in colours]
    assert blue[0] > red[0] + 50
    assert red[2] > blue[2] + 50
    assert colours[2] == colours[3]
    assert max(colours[1]) - min(colours[1]) < 20


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_sticks_out(browser, path, data, width):
    with opened(browser, path, width) as (page, trouble):
        assert overflow(page) <= 0
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        chosen(page, tensor_of(data, "attention_forward", "h.0.attention", "y"))
        assert overflow(page) <= 0
        box = page.locator("#inspector").bounding_box()
        assert (box["x"] >= 0, box["x"] + box["width"] <= width) == (True, True)
        assert trouble == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_text_can_be_read_in_light_and_dark(browser, path, data, scheme):
    with opened(browser, path, scheme=scheme) as (page, _):
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        chosen(page, tensor_of(data, "linear_forward", "h.0.attn.c_attn", "y"))
        assert poor_contrast(page) == []
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (int(re.search(r"\d+", paper)[0]) > 127) == (scheme == "light")


def test_the_switch_goes_against_the_system_and_redraws(page):
    strip = "document.querySelector('#map .cell .bar')"
    before = page.evaluate(f"[getComputedStyle({strip}).backgroundColor, String(palette.zero)]")
    page.get_by_text("dark", exact=True).click()
    after = page.evaluate(f"[getComputedStyle({strip}).backgroundColor, String(palette.zero)]")
    assert all(one != other for one, other in zip(before, after, strict=True))
    page.keyboard.press("ArrowLeft")  # to light, which is the system's here
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    assert page.evaluate("String(palette.zero)") == before[1]


def test_the_dice_fall_where_sampling_s_do(page, data):
    logits = np.array(page.evaluate("Array.from(scores)"))
    page.locator("#temperature").focus()
    page.keyboard.press("Home")
    assert int(page.locator("#drawn").get_attribute("data-id")) == int(logits.argmax())

    class Rolled:
        def roll(self):
            return self.number

    dice, rolls = Rolled(), data.trace["next"]["rolls"]
    for temperature in (0.05, 0.7, 1.0, 2.0):
        want = []
        for dice.number in rolls:
            want.append(Choice(temperature).draw(logits, dice))
        assert page.evaluate("t => trace.next.rolls.map((roll) => drawn(t, roll))", temperature) == want
    assert len(set(want)) > 3
    page.keyboard.press("End")
    assert page.locator("label output").text_content() == "2.00"
    for roll in (rolls[1], rolls[2]):
        page.get_by_role("button", name="Roll again").click()
        dice.number = roll
        assert int(page.locator("#drawn").get_attribute("data-id")) == Choice(2.0).draw(logits, dice)


def test_a_link_to_a_line_opens_the_file_there(page, data):
    (event,) = data.events("attention_forward", "h.1.attention")
    place = event["site"]
    card = page.locator(f"#event-{data.trace['events'].index(event)}")
    card.locator("a.where").first.click()
    line = page.locator(".line.meant")
    assert line.count() == 1
    assert "ops.attention_forward(qkv, n_head)" in line.text_content()
    assert line.get_attribute("id") == f"{place['file']}:{place['first']}"
    page.wait_for_function(
        "() => { const box = document.querySelector('.line.meant').getBoundingClientRect();"
        "return box.top >= 0 && box.bottom <= innerHeight; }"
    )
