"""The HTML report in a real browser: nothing is asked for, everything moves that should, no text of a plugin runs."""

from __future__ import annotations

import os
import time

import pytest

TIMED = "const began = performance.now(); ACT; void document.body.offsetHeight; return performance.now() - began"
EVERY = ("usual", "one-seed", "failures", "none", "hostile", "long", "machines", "not-finite", "datasets")


def texts(elements):
    return [each.text for each in elements if each.is_displayed()]


def methods(browser):
    return [name.splitlines()[0] for name in texts(browser.find(".grid tbody > tr > th"))]


@pytest.mark.parametrize("name", EVERY)
def test_no_request_leaves_the_page_and_nothing_breaks(browser, page, name):
    browser.open(page(name))
    time.sleep(0.2)
    assert browser.requests() == []
    assert browser.errors() == []
    assert browser.run("return document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("width", [390, 1280, 1920])
@pytest.mark.parametrize("name", ["usual", "long"])
def test_nothing_is_wider_than_the_window(browser, page, name, width):
    browser.open(page(name), width=width)
    assert browser.run("return document.documentElement.scrollWidth") <= browser.run("return innerWidth")


def test_a_column_sorts_both_ways(browser, page):
    browser.open(page("usual"))
    button = next(each for each in browser.find(".grid thead button") if each.text.startswith("activation_bytes"))
    button.click()
    assert methods(browser)[-3:] == ["bptt[steps=4]", "gm-vi", "bptt[steps=8]"]
    button.click()
    assert methods(browser)[0] == "bptt[steps=8]"
    assert browser.find("th[aria-sort='descending']")[0].text.startswith("activation_bytes")


def test_rows_are_filtered_by_name_and_by_status(browser, page):
    browser.open(page("usual"))
    (box,) = browser.find("#filters input")
    box.send_keys("BPTT")
    assert methods(browser) == ["bptt[steps=4]", "bptt[steps=8]"]
    assert browser.find("#filters output")[0].text == "2 rows"
    box.send_keys("\ue003" * 4)
    (select,) = browser.find("#filters select")
    select.send_keys("some")
    assert methods(browser) == ["low-rank"]


def test_a_row_opens_by_keyboard_to_all_that_is_known(browser, page):
    browser.open(page("usual"))
    button = next(each for each in browser.find(".grid tbody button") if each.text == "low-rank")
    browser.run("arguments[0].focus()", button)
    button.send_keys("\ue007")
    assert button.get_attribute("aria-expanded") == "true"
    (detail,) = browser.find(".detail")
    for words in ("Traceback", "failed: out of memory", "schedule", "neurons", "harness run --methods low-rank"):
        assert words in detail.text
    assert detail.find_elements("css selector", "svg")
    button.send_keys("\ue007")
    assert not browser.find(".detail")


def test_groups_of_columns_come_and_go(browser, page):
    browser.open(page("usual"))
    before = texts(browser.find(".grid thead th"))
    boxes = {each.text.split(" ")[0]: each for each in browser.find(".results label")}
    boxes["memory"].click()
    assert not [each for each in texts(browser.find(".grid thead th")) if each.startswith("activation_bytes")]
    boxes["sizes"].click()
    assert [each for each in texts(browser.find(".grid thead th")) if each.startswith("stored_bytes")]
    assert len(before) > 8


def test_axes_are_chosen_and_the_numbers_behind_follow(browser, page):
    browser.open(page("usual"))
    score, cost = browser.find("figure.tradeoff .controls select")
    browser.run("arguments[0].value = 'nll'; arguments[0].dispatchEvent(new Event('change'))", score)
    browser.run("arguments[0].value = 'update_seconds'; arguments[0].dispatchEvent(new Event('change'))", cost)
    (plot,) = browser.find("figure.tradeoff svg")
    assert plot.get_attribute("aria-label") == "nll against update_seconds on digits"
    heads = browser.run("return [...document.querySelectorAll('figure.tradeoff thead th')].map((e) => e.textContent)")
    assert heads == ["method", "nll", "update_seconds", "Pareto front"]


def test_points_say_what_they_are_to_the_arrow_keys(browser, page):
    browser.open(page("usual"))
    points = browser.find("figure.tradeoff .pt")
    assert [each.get_attribute("tabindex") for each in points].count("0") == 1
    browser.run("arguments[0].focus()", points[0])
    browser.run("arguments[0].dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight'}))", points[0])
    assert browser.run("return document.activeElement.getAttribute('aria-label')") == points[1].get_attribute(
        "aria-label"
    )
    assert browser.find("figure.tradeoff .tip")[0].text == points[1].get_attribute("aria-label")


def test_the_theme_is_changed_by_hand(browser, page):
    browser.open(page("usual"))
    light = browser.run("return getComputedStyle(document.body).backgroundColor")
    browser.find("button.theme")[0].click()
    assert browser.run("return getComputedStyle(document.body).backgroundColor") != light


def test_hostile_texts_are_shown_and_not_run(browser, page):
    browser.open(page("hostile"))
    for button in browser.find(".grid tbody button"):
        browser.run("arguments[0].click()", button)
    time.sleep(0.2)
    assert browser.driver.title.endswith("harness report")
    assert browser.find("img") == []
    assert "<script>document.title='ran'</script>" in browser.find("main")[0].text
    assert "{{7*7}}" in browser.find("main")[0].text
    assert browser.run("return document.querySelectorAll('script').length") == 2
    assert browser.errors() == []


def test_without_scripts_plots_and_tables_remain(start, page):
    browser = start(scripts=False)
    try:
        browser.open(page("usual"))
        assert len(browser.find("figure.tradeoff svg .pt")) == 6
        assert len([each for each in browser.find(".grid tbody tr") if each.is_displayed()]) == 6
        assert browser.find(".grid button") == []
        assert len(browser.find(".bars li")) == 30
    finally:
        browser.driver.quit()


def test_a_thousand_rows_sort_and_filter_at_once(browser, page):
    """As long as what a person takes for at once; more where others wait for the same cores."""
    limit = 500 * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    browser.open(page("thousand"))
    button = next(each for each in browser.find(".grid thead button") if each.text.startswith("accuracy"))
    assert min(browser.run(TIMED.replace("ACT", "arguments[0].click()"), button) for _ in range(4)) < limit
    (box,) = browser.find("#filters input")
    typed = "arguments[0].value = 'rank=7'; arguments[0].dispatchEvent(new Event('input'))"
    assert browser.run(TIMED.replace("ACT", typed), box) < limit
    assert browser.find("#filters output")[0].text == "111 rows"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", ["usual", "failures", "none", "datasets", "long"])
def test_axe_finds_no_violation(browser, page, axe, name, dark):
    browser.open(page(name), dark)
    for button in browser.find(".grid tbody button")[:2]:
        browser.run("arguments[0].click()", button)
    browser.run("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    browser.run(axe)
    browser.driver.set_script_timeout(60)
    found = browser.driver.execute_async_script(
        "const done = arguments[0]; axe.run().then((each) => done(each.violations))"
    )
    said = [(each["id"], each["help"], [node["html"][:160] for node in each["nodes"][:3]]) for each in found]
    assert said == []
