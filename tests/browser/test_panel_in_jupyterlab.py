"""The panel in JupyterLab: choose, plan, confirm, boot, and the code that each action stands for."""

from __future__ import annotations

import re

import pytest
from lab_page import Notebook, looks_like


@pytest.fixture
def panel(notebook: Notebook, request: pytest.FixtureRequest) -> Notebook:
    speed = getattr(request, "param", 5.0)
    fleet = f"kn.pretend(3, fail={{'web-3': 'unreachable'}}, speed={speed})"
    notebook.open(f"import kamalnb as kn\nfleet = {fleet}\nkn.panel(fleet)")
    notebook.run(0)
    notebook.page.get_by_text("2 of 3 hosts answered.").wait_for()
    return notebook


def test_hosts_are_shown_with_what_serves_there_or_as_unreachable(panel: Notebook) -> None:
    hosts = " ".join(panel.page.get_by_role("listbox", name="Hosts").inner_text().split())
    assert "web-1 ✓ v1" in hosts
    assert "web-3 ✗ unreachable" in hosts


@pytest.mark.parametrize("panel", [1.0], indirect=True)  # its progress has to be seen, also by a slow page
def test_chosen_planned_confirmed_and_booted(panel: Notebook) -> None:
    page = panel.page
    page.get_by_role("listbox", name="Hosts").select_option(index=[1, 2])
    versions = page.get_by_role("combobox", name="Version")
    labels = [" ".join(label.split()) for label in versions.locator("option").all_inner_texts()]
    versions.select_option(index=labels.index("v2 — image on 2 hosts"))
    page.get_by_role("button", name="Plan", exact=True).click()
    box = page.get_by_role("textbox", name="Type web@v2 to boot 2 hosts:")
    box.fill("web@v2")
    box.press("Enter")
    page.get_by_role("progressbar", name="boot app v2 on 2 hosts").wait_for()
    page.get_by_text("v2 serves on web-1, web-2 instead of v1").first.wait_for()
    code = page.get_by_label("The same as code").first.inner_text()
    assert "fleet.where(hosts=['web-1', 'web-2']).plan('v2').boot(confirm='web@v2')" in code
    panel.until(lambda: page.get_by_role("listbox", name="Hosts").inner_text().count("v2") == 2, "the new look")
    assert page.get_by_role("listbox", name="Hosts").evaluate("box => box.selectedOptions.length") == 2
    panel.save()
    record = panel.saved(0)[-1]["data"]
    assert "v2 serves on web-1, web-2" in record["text/plain"]


def test_a_version_that_cannot_be_one_is_told(panel: Notebook) -> None:
    panel.page.get_by_role("listbox", name="Hosts").select_option(index=[1, 2])
    panel.page.get_by_role("textbox", name="or type one").fill("no version")
    panel.page.get_by_role("button", name="Plan", exact=True).click()
    panel.page.get_by_text("cannot be a version").wait_for()


def test_unreachable_hosts_are_left_out_where_a_person_says_so(panel: Notebook) -> None:
    page = panel.page
    page.get_by_role("textbox", name="or type one").fill("v2")
    page.get_by_role("button", name="Plan", exact=True).click()
    page.get_by_text("web-3 cannot be used").wait_for()
    page.get_by_role("checkbox", name="Leave out unreachable hosts: web-3").check()
    page.get_by_role("button", name="Plan", exact=True).click()
    page.get_by_role("textbox", name="Type web@v2 to boot 2 hosts:").wait_for()
    page.get_by_text("It is left out").first.wait_for()
    code = page.get_by_label("The same as code").first.inner_text()
    assert "fleet.plan('v2', skip_unreachable=True).boot(confirm='web@v2')" in code


def test_a_click_counts_with_every_letter_typed_before_it_however_slow_the_kernel_is(notebook: Notebook) -> None:
    """The page holds back the second letter while the kernel works on the first, and does not hold back the click."""
    notebook.open(
        "import kamalnb as kn, time\nfleet = kn.pretend(2)\npanel = kn.panel(fleet)\n"
        "panel.form.typed.observe(lambda change: time.sleep(1), 'value')\npanel"
    )
    notebook.run(0)
    page = notebook.page
    page.get_by_text("2 of 2 hosts answered.").wait_for()
    page.get_by_role("textbox", name="or type one").press_sequentially("v2")
    page.get_by_role("button", name="Plan", exact=True).click()
    page.get_by_role("textbox", name="Type web@v2 to boot 2 hosts:").wait_for()
    assert "plan('v2')" in page.get_by_label("The same as code").first.inner_text()


def booted_by_mouse(panel: Notebook) -> None:
    page = panel.page
    page.get_by_role("listbox", name="Hosts").select_option(index=[1, 2])
    page.get_by_role("textbox", name="or type one").fill("v2")
    page.get_by_role("button", name="Plan", exact=True).click()
    box = page.get_by_role("textbox", name="Type web@v2 to boot 2 hosts:")
    box.fill("web@v2")
    box.press("Enter")
    page.get_by_text("v2 serves on web-1, web-2 instead of v1").first.wait_for()


def went_back(panel: Notebook) -> None:
    page = panel.page
    page.get_by_text("v1 serves on web-1, web-2 instead of v2").first.wait_for()
    panel.until(lambda: page.get_by_role("listbox", name="Hosts").inner_text().count("v1") == 2, "the new look")
    assert "undo(confirm='web@v1')" in page.get_by_label("The same as code").first.inner_text()
    panel.save()
    assert "v1 serves on web-1, web-2" in panel.saved(0)[-1]["data"]["text/plain"]


def test_undo_of_the_panel_is_one_click(panel: Notebook) -> None:
    booted_by_mouse(panel)
    # Exact, for the name of this notebook, which the file browser lists as a button, has "undo" in it.
    panel.page.get_by_role("button", name="Undo", exact=True).first.click()
    went_back(panel)


def test_undo_of_the_finished_rollout_is_one_click_whatever_is_chosen_by_then(panel: Notebook) -> None:
    booted_by_mouse(panel)
    panel.page.get_by_role("listbox", name="Hosts").select_option(index=[3])
    panel.until(
        lambda: panel.page.get_by_role("button", name="Undo", exact=True).count() == 2, "the button below the record"
    )
    panel.page.get_by_role("button", name="Undo", exact=True).last.click()
    went_back(panel)


def test_whole_session_by_keyboard_alone(panel: Notebook) -> None:
    """Hosts, version, plan, the typed word, boot, undo: no mouse, and nothing sets the focus but at the start."""
    page = panel.page
    listbox = page.get_by_role("listbox", name="Hosts")
    listbox.focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Shift+ArrowDown")
    assert listbox.evaluate("node => [...node.selectedOptions].map(one => one.value.trim().split(/\\s+/)[0])") == [
        "web-1", "web-2",
    ]  # fmt: skip
    tab_to(panel, "or type one")
    page.keyboard.type("v2")
    tab_to(panel, "Plan")
    page.keyboard.press("Enter")
    page.get_by_role("textbox", name="Type web@v2 to boot 2 hosts:").wait_for()
    tab_to(panel, "Type web@v2 to boot 2 hosts:")
    page.keyboard.type("web@v2")
    panel.until(
        lambda: page.get_by_role("button", name="Boot", exact=True).is_enabled(), "a button that can be pressed"
    )
    tab_to(panel, "Boot")
    page.keyboard.press("Space")
    page.get_by_text("v2 serves on web-1, web-2 instead of v1").first.wait_for()
    panel.until(lambda: page.get_by_role("button", name="Undo", exact=True).count() == 2, "the way back")
    tab_to(panel, "Undo", back=True)
    page.keyboard.press("Enter")
    went_back(panel)


NAMED = "() => (document.activeElement.labels?.[0] ?? document.activeElement).textContent.trim()"


def tab_to(panel: Notebook, name: str, *, back: bool = False) -> None:
    """Presses Tab until the control with this name has the focus."""
    for _press in range(40):
        if panel.page.evaluate(NAMED) == name:
            return
        panel.page.keyboard.press("Shift+Tab" if back else "Tab")
    raise AssertionError(f"forty times Tab and never at {name}")


def test_panel_and_its_plan_are_told_to_screen_readers(panel: Notebook) -> None:
    page = panel.page
    looks_like("panel", part_of(panel.output(0).aria_snapshot(), until="- searchbox"))
    page.get_by_role("checkbox", name="Leave out unreachable hosts: web-3").check()
    page.get_by_role("textbox", name="or type one").fill("v2")
    page.get_by_role("button", name="Plan", exact=True).click()
    box = page.get_by_role("textbox", name="Type web@v2 to boot 2 hosts:")
    box.wait_for()
    page.get_by_text("nothing was changed. Type").first.wait_for()  # told after the plan is shown
    looks_like("panel-plan", part_of(panel.output(0).aria_snapshot(), until="- searchbox"))
    box.fill("web@v2")
    box.press("Enter")
    page.get_by_text("v2 serves on web-1, web-2 instead of v1").first.wait_for()
    panel.until(lambda: page.get_by_role("button", name="Undo", exact=True).count() == 2, "the way back")
    page.get_by_text("2 of 3 hosts answered.").first.wait_for()  # the new look; the plan was told before it
    told = panel.output(0).aria_snapshot()
    assert "- status: 2 of 3 hosts answered." in told
    assert told.count('- button "Undo"') == 2


def part_of(snapshot: str, *, until: str) -> str:
    """The lines before the table, which has a golden file of its own; of the versions those that are told apart."""
    lines = [line for line in snapshot.splitlines() if not re.search(r"option .*[a-z34] — image on", line)]
    return "\n".join(lines[: next(number for number, line in enumerate(lines) if line.startswith(until))])


def test_keyboard_reaches_every_control(panel: Notebook) -> None:
    page = panel.page
    page.get_by_role("listbox", name="Hosts").focus()
    seen = []
    for _press in range(6):
        page.keyboard.press("Tab")
        seen.append(
            page.evaluate("() => (document.activeElement.labels?.[0] ?? document.activeElement).textContent.trim()")
        )
    assert seen[:3] == ["Leave out unreachable hosts: web-3", "Version", "or type one"]
    assert {"Look again", "Plan"} <= set(seen)
