"""The panel in JupyterLab: choose, plan, confirm, boot, and the code that each action stands for."""

from __future__ import annotations

import pytest
from lab_page import Notebook


@pytest.fixture
def panel(notebook: Notebook) -> Notebook:
    notebook.open(
        "import kamalnb as kn\nfleet = kn.pretend(3, fail={'web-3': 'unreachable'}, speed=5.0)\nkn.panel(fleet)"
    )
    notebook.run(0)
    notebook.page.get_by_text("2 of 3 hosts answered.").wait_for()
    return notebook


def test_hosts_are_shown_with_what_serves_there_or_as_unreachable(panel: Notebook) -> None:
    hosts = " ".join(panel.page.get_by_role("listbox", name="Hosts").inner_text().split())
    assert "web-1 ✓ v1" in hosts
    assert "web-3 ✗ unreachable" in hosts


def test_chosen_planned_confirmed_and_booted(panel: Notebook) -> None:
    page = panel.page
    page.get_by_role("listbox", name="Hosts").select_option(index=[1, 2])
    versions = page.get_by_role("combobox", name="Version")
    labels = [" ".join(label.split()) for label in versions.locator("option").all_inner_texts()]
    versions.select_option(index=labels.index("v2 — image on 2 hosts"))
    page.get_by_role("button", name="Plan").click()
    box = page.get_by_role("textbox", name="Type web@v2 to boot 2 hosts:")
    box.fill("web@v2")
    box.press("Enter")
    page.get_by_role("progressbar", name="boot app v2 on 2 hosts").wait_for()
    page.get_by_text("v2 serves on web-1, web-2 instead of v1").first.wait_for()
    code = page.get_by_label("The same as code").first.inner_text()
    assert "fleet.where(hosts=['web-1', 'web-2']).plan('v2').boot(confirm='web@v2')" in code
    panel.until(lambda: page.get_by_role("listbox", name="Hosts").inner_text().count("v2") == 2, "the new look")
    panel.save()
    record = panel.saved(0)[-1]["data"]
    assert "v2 serves on web-1, web-2" in record["text/plain"]


def test_a_version_that_cannot_be_one_is_told(panel: Notebook) -> None:
    panel.page.get_by_role("listbox", name="Hosts").select_option(index=[1, 2])
    panel.page.get_by_role("textbox", name="or type one").fill("no version")
    panel.page.get_by_role("button", name="Plan").click()
    panel.page.get_by_text("cannot be a version").wait_for()


def test_keyboard_reaches_every_control(panel: Notebook) -> None:
    page = panel.page
    page.get_by_role("listbox", name="Hosts").focus()
    seen = []
    for _press in range(6):
        page.keyboard.press("Tab")
        seen.append(
            page.evaluate("() => (document.activeElement.labels?.[0] ?? document.activeElement).textContent.trim()")
        )
    assert seen[:2] == ["Version", "or type one"]
    assert {"Look again", "Plan"} <= set(seen)
