"""minigpt report, opened in a real browser: what a person sees, reads and does there."""

import itertools
import re

import pytest

from tests.support.browser import opened, overflow, poor_contrast
from tests.support.logs import loss_at, start, write_main_log, write_metrics
from tests.support.report_page import layers_line, written

WIDTHS, SCHEMES = (360, 768, 1280), ("light", "dark")
NAMES = ("whole", "bare", "theirs", "once")
STEPS, EVERY = 240, 20
LAST = "<b>bold</b> </script><script>alert(1)</script> the people of the United States"


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """Pages of a whole run, of one that noted steps alone, of a log by llm.c, of a single step."""
    root = tmp_path_factory.mktemp("pages")
    whole = write_metrics(root / "whole", STEPS)
    parts = {
        "recipe": {"tokenizer": "gpt2", "data": "fineweb/*.bin", "steps": 300},
        "model": {"n_vocab": 50257},
    }
    (whole / "starts.jsonl").write_text(start(**parts) + "\n")
    texts = {step: f"word{step} " * 30 for step in range(0, STEPS, EVERY)} | {STEPS: LAST}
    (whole / "samples.txt").write_text("".join(f"step {step}: {text!r}\n" for step, text in texts.items()))
    lines = [layers_line(step) for step in (1, *range(EVERY, STEPS + 1, EVERY))]
    (whole / "layers.jsonl").write_text("\n".join(lines) + "\n")
    write_metrics(root / "bare", 30)
    write_main_log(root / "theirs" / "main.log", 3000)
    once = start(recipe={"steps": 1, "data": f"{'a-deep-folder/' * 9}*.txt"})
    (write_metrics(root / "once", 1) / "starts.jsonl").write_text(once + "\n")
    for name in NAMES:
        written(root / name, root / f"{name}.html")
    return {name: root / f"{name}.html" for name in NAMES}


@pytest.fixture
def page(browser, paths):
    with opened(browser, paths["whole"]) as (page, trouble):
        yield page
        assert trouble == []


def test_all_sections_are_there_and_nothing_is_asked_for(browser, paths):
    for name in paths:
        with opened(browser, paths[name]) as (page, trouble):
            titles = page.locator("h2").all_text_contents()
            assert titles[:4] == ["The loss", "From noise to English", "What each layer learns", "Settings"]
            assert page.locator("h1").text_content() == name
            page.evaluate("async () => { for (let y = 0; y < document.body.scrollHeight; y += 600) {"
                          "scrollTo(0, y); await new Promise(requestAnimationFrame); } }")  # fmt: skip
            page.wait_for_timeout(200)
            assert trouble == []


def test_texts_are_texts(page):
    assert page.locator(".sample blockquote").last.text_content() == LAST
    assert page.locator(".sample b, .lead b").count() == 0
    assert "some <b>text</b>" in page.locator(".lead").text_content()
    assert page.locator(".note").text_content().startswith("The run is at step 240 of 300")


def test_what_a_run_has_not_noted_is_said(browser, paths):
    with opened(browser, paths["bare"]) as (page, _):
        said = page.locator("p.none").all_text_contents()
        assert "--sample-every 0" in said[0]
        assert "--layers-every 0" in said[1]
        assert "does not tell the run's settings" in said[2]
        assert page.locator("canvas").count() == 0


def test_a_single_step_is_a_dot(browser, paths):
    with opened(browser, paths["once"]) as (page, _):
        assert page.locator("figure").count() == 4
        for figure in page.locator("figure").all():
            assert figure.locator("circle.lone").count() == 1
            assert figure.locator("circle.lone").bounding_box()["width"] > 4
        assert " parameters, trained for 1 step on " in page.locator(".lead").text_content()


def readings(page):
    """What the main chart's readout says: step, loss, mean, validation."""
    said = page.locator("figure.main output").text_content()
    found = re.findall(r"([a-z]+) ([\d.,]*\d)", said)
    return {name: float(number.replace(",", "")) for name, number in reversed(found)}  # the first of a name


def test_the_curve_is_where_its_numbers_are(page):
    """Every point of the line, from pixels back to numbers by two ticks of the axis."""
    found = page.evaluate("""() => {
        const all = (what) => [...document.querySelectorAll(`figure.main svg ${what}`)];
        const ticks = all('.tick:has(line)').map((one) =>
            [Number(one.textContent), Number(one.querySelector('line').getAttribute('y1'))]);
        return [ticks, all('circle.points').map((one) => Number(one.getAttribute('cy')))];
    }""")
    ticks, points = found
    assert len(ticks) >= 4
    (a, at_a), (b, at_b) = ticks[0], ticks[-1]
    values = [a + (y - at_a) / (at_b - at_a) * (b - a) for y in points]
    wanted = [loss_at(step) + 0.1 for step in range(EVERY, STEPS + 1, EVERY)]
    assert values == pytest.approx(wanted, abs=2e-3)


def test_the_pointer_reads_numbers(page):
    plot = page.locator("figure.main .plot")
    plot.scroll_into_view_if_needed()
    x = page.evaluate("document.querySelectorAll('figure.main circle.points')[4].getAttribute('cx')")
    plot.hover(position={"x": float(x), "y": 100})
    read = readings(page)
    assert read["step"] == 5 * EVERY
    assert read["loss"] == pytest.approx(loss_at(5 * EVERY), rel=1e-4)
    assert read["validation"] == pytest.approx(loss_at(5 * EVERY) + 0.1, rel=1e-4)
    small = page.locator(".small output").all_text_contents()
    assert small[0] == "1.01"
    assert small[2] == "2k"
    page.mouse.move(2, 2)
    assert page.locator("figure.main output").text_content().strip() == ""


def test_the_keyboard_reads_numbers_too(page):
    plot = page.locator("figure.main .plot")
    plot.focus()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    for key, step in (("Home", 1), ("ArrowRight", 2), ("End", STEPS), ("ArrowLeft", STEPS - 1)):
        page.keyboard.press(key)
        assert readings(page)["step"] == step
        assert readings(page)["loss"] == pytest.approx(loss_at(step), rel=1e-4)
    assert page.locator("figure.main output").get_attribute("aria-live") == "polite"
    page.keyboard.press("Escape")
    assert page.locator("figure.main output").text_content().strip() == ""


FOCUSED = """() => {
    const one = document.activeElement;
    return one.getAttribute('aria-label') || one.value || one.textContent;
}"""


def test_everything_can_be_reached_by_tab(page):
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(page.evaluate(FOCUSED))
        if reached[-1] == reached[0] and len(reached) > 1:
            break
    assert reached[0] == "Skip to the curves"
    assert {"auto", "step", "Sample", "gradient", "Step", "All 6 settings"} <= {*reached}
    assert sum(one.endswith("; arrow keys read its numbers") for one in reached) == 4 + 7


def test_the_axis_can_be_tokens_or_hours(page):
    before = page.evaluate("document.querySelector('figure.main path.line').getAttribute('d')")
    page.get_by_text("tokens", exact=True).click()
    ticks = page.locator("figure.main .tick").all_text_contents()
    assert {"2k", "14k"} < {*ticks}  # 240 steps of 64 tokens
    assert "16k" not in ticks
    page.keyboard.press("ArrowRight")
    assert page.locator("input[value=hours]").is_checked()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.querySelector('figure.main path.line').getAttribute('d')") == before


def test_the_curve_follows_the_reader(page):
    samples, guide = page.locator(".sample"), page.locator(".guide output")
    for i in (3, 9, 12):
        samples.nth(i).evaluate("one => scrollTo(0, scrollY + one.getBoundingClientRect().top - 200)")
        page.wait_for_function("i => document.querySelectorAll('.sample')[i].matches('.current')", arg=i)
        assert page.locator(".sample.current").count() == 1
        assert guide.text_content().startswith(f"step {i * EVERY} \u00b7 loss ")
        assert page.locator(".guide input").input_value() == str(i)
        box = page.locator(".guide").bounding_box()
        assert 0 <= box["y"] < 200


def test_the_slider_turns_to_a_sample(page):
    slider = page.locator(".guide input")
    slider.focus()
    for key, i in (("ArrowRight", 1), ("End", 12), ("ArrowLeft", 11), ("Home", 0)):
        page.keyboard.press(key)
        page.wait_for_timeout(100)
        assert page.locator(".sample.current h3").text_content().startswith(f"Step {i * EVERY}")
        assert slider.get_attribute("aria-valuetext") == f"step {i * EVERY}"


def test_layers_can_be_read_by_pointer_and_keys(page):
    read = page.locator("#layers > output")
    fc = page.locator("canvas[aria-label^='MLP: into the hidden layer']")
    fc.scroll_into_view_if_needed()
    box = fc.bounding_box()
    fc.hover(position={"x": box["width"] * 2.5 / 13, "y": box["height"] * 0.75})
    assert read.text_content() == "h.1.mlp.c_fc, step 40: 0.325"  # the 13th part, in the third note
    assert page.locator(".biggest output").text_content() == "step 40"
    fc.focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowRight")
    assert read.text_content() == "h.0.mlp.c_fc, step 60: 0.117"
    page.get_by_text("update / weights", exact=True).click()
    page.locator("canvas").first.hover(position={"x": 2, "y": 2})
    assert read.text_content() == "h.0.attn.c_attn, step 1: 0.00364"  # 0.04 of 11
    page.get_by_text("growth", exact=True).click()
    page.locator("canvas").first.hover(position={"x": box["width"] - 2, "y": 2})
    assert read.text_content() == "h.0.attn.c_attn, step 240: 22.7"  # 250 of 11


def test_stronger_is_deeper_and_the_theme_redraws(page):
    pixel = """(name) => { const one = document.querySelector(`canvas[aria-label^='${name}']`);
        const copy = new OffscreenCanvas(one.width, 1).getContext('2d', { willReadFrequently: true });
        copy.drawImage(one, 0, 0);
        return [...copy.getImageData(0, 0, one.width, 1).data]; }"""
    row = page.evaluate(pixel, "attention: queries")
    lightness = [sum(row[i : i + 3]) for i in range(0, len(row), 4)]
    assert lightness == sorted(lightness)  # gradients fall from step to step, and pale on light paper
    assert lightness[0] < lightness[-1]
    page.get_by_text("dark", exact=True).click()
    dark = page.evaluate(pixel, "attention: queries")
    lightness = [sum(dark[i : i + 3]) for i in range(0, len(dark), 4)]
    assert lightness[0] > lightness[-1]
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    assert page.evaluate(pixel, "attention: queries") == row


def test_the_largest_gradients_come_first_and_the_slider_chooses_the_step(page):
    names = page.locator(".largest .name").all_text_contents()
    assert names[:3] == ["ln_f", "h.1.mlp.c_proj", "h.1.mlp.c_fc"]
    shares = page.locator(".largest .number:last-child").all_text_contents()
    assert shares[0] == "18.1%"  # 15^2 of 1 + 4 + ... + 15^2
    page.locator(".biggest input").focus()
    page.keyboard.press("Home")
    assert page.locator(".largest .number").first.text_content() == "15"
    assert page.locator(".column").first.evaluate("one => one.style.left") != ""


def test_gpt2_s_losses_stand_beside_a_run_on_the_same_text(page, browser, paths):
    names = page.locator("figure.main text.level").all_text_contents()
    assert names == ["124M", "355M", "774M", "1558M"]
    with opened(browser, paths["theirs"]) as (other, _):
        assert other.locator("figure.main text.level").count() == 0
        assert "124M" in other.locator(".small text.level").all_text_contents()
        assert other.locator("figure.main path.band").count() == 1


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", NAMES)
def test_nothing_sticks_out(browser, paths, name, width):
    with opened(browser, paths[name], width) as (page, trouble):
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        page.wait_for_timeout(100)
        assert overflow(page) <= 0
        for box in page.locator("svg, canvas, input[type=range], fieldset").all():
            place = box.bounding_box()
            assert place is None or place["x"] >= 0, box
            assert place is None or place["x"] + place["width"] <= width, box
        assert trouble == []


@pytest.mark.parametrize("width", [360, 1280])
def test_axis_numbers_do_not_overlap(browser, paths, width):
    with opened(browser, paths["whole"], width) as (page, _):
        for axis in ("step", "tokens", "hours"):
            page.locator(f"input[value={axis}]").check(force=True)
            boxes = page.evaluate("""() => [...document.querySelectorAll('.plot svg')].map((plot) =>
                [...plot.querySelectorAll('.tick text')].map((one) => one.getBoundingClientRect())
                .map((box) => [box.left, box.right, box.top, box.bottom]))""")
            for plot in boxes:
                for one, other in itertools.combinations(plot, 2):
                    beside = one[1] <= other[0] or other[1] <= one[0]
                    assert beside or one[3] <= other[2] or other[3] <= one[2], (axis, one, other)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", NAMES)
def test_text_can_be_read_in_light_and_dark(browser, paths, name, scheme):
    with opened(browser, paths[name], scheme=scheme) as (page, _):
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        assert poor_contrast(page) == []
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (int(re.search(r"\d+", paper)[0]) > 127) == (scheme == "light")
