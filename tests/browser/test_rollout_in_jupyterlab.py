"""Rollouts in JupyterLab, as a person does them: by mouse, by keyboard, over a page that is loaded again."""

from __future__ import annotations

from lab_page import Notebook, looks_like

FLEET = "import kamalnb as kn\nfleet = kn.pretend({hosts}, speed={speed})"


def opened(notebook: Notebook, *cells: str, hosts: int = 3, speed: float = 5.0) -> Notebook:
    notebook.open(FLEET.format(hosts=hosts, speed=speed), *cells)
    for number in range(len(cells) + 1):
        notebook.run(number)
    return notebook


def confirm(notebook: Notebook, target: str = "web@v2", hosts: int = 3) -> None:
    box = notebook.page.get_by_role("textbox", name=f"Type {target} to boot {hosts} hosts:")
    box.fill(target)
    box.press("Enter")


def ended(notebook: Notebook, number: int) -> bool:
    return notebook.output(number).locator(".kn-card").count() > 0


def test_run_all_begins_nothing_and_the_typed_word_does(notebook: Notebook) -> None:
    opened(notebook, "run = fleet.plan('v2').boot()", "str(run.state)", speed=0.05)
    assert "waiting for confirmation" in notebook.output(2).inner_text()
    looks_like("waiting", notebook.output(1).aria_snapshot())
    button = notebook.page.get_by_role("button", name="Boot", exact=True)
    assert button.is_disabled()
    confirm(notebook)
    notebook.page.get_by_role("progressbar", name="boot app v2 on 3 hosts").wait_for()
    cancel = notebook.output(1).get_by_role("button", name="Cancel", exact=True)
    cancel.wait_for()
    notebook.run(2)  # the kernel is free meanwhile
    assert "running" in notebook.output(2).inner_text()
    cancel.click()  # at this speed its end is minutes away; other tests see one
    notebook.until(lambda: ended(notebook, 1), "the record")
    assert "stopped" in notebook.output(1).inner_text()


def test_the_saved_cell_holds_the_record_and_no_widget(notebook: Notebook) -> None:
    opened(notebook, "run = fleet.plan('v2').boot()")
    confirm(notebook)
    notebook.until(lambda: ended(notebook, 1), "the record")
    notebook.save()
    output, way_back = notebook.saved(1)
    assert "application/vnd.jupyter.widget-view+json" not in output["data"]
    assert "v2 serves on web-1, web-2, web-3" in output["data"]["text/plain"]
    assert "v2 serves on web-1, web-2, web-3" in output["data"]["text/html"]
    assert (way_back["data"]["text/html"], way_back["data"]["text/plain"]) == ("", "")  # a button that lives with us


def test_undo_below_a_finished_rollout_is_one_click_and_its_record_stays(notebook: Notebook) -> None:
    opened(notebook, "run = fleet.plan('v2').boot()", "fleet.versions().version.tolist()")
    assert notebook.output(1).get_by_role("button", name="Undo", exact=True).count() == 0
    confirm(notebook)
    notebook.output(1).get_by_role("button", name="Undo", exact=True).click()
    notebook.until(lambda: "v1 serves on web-1, web-2, web-3 instead of v2" in notebook.output(1).inner_text(), "undo")
    notebook.until(lambda: notebook.output(1).locator(".kn-card").count() == 2, "both records")
    notebook.run(2)
    assert "['v1', 'v1', 'v1']" in notebook.output(2).inner_text()
    notebook.save()
    booted, undone = (output["data"] for output in notebook.saved(1))
    assert "v2 serves on web-1, web-2, web-3" in booted["text/plain"]
    assert "v1 serves on web-1, web-2, web-3" in undone["text/plain"]
    assert not any("widget" in kind for kind in (*booted, *undone))


def test_cancel_while_it_runs_takes_everything_back(notebook: Notebook) -> None:
    opened(notebook, "run = fleet.plan('v2').boot()", "fleet.versions().version.tolist()", speed=0.15)
    confirm(notebook)
    notebook.output(1).get_by_role("button", name="Cancel", exact=True).click()
    notebook.until(lambda: ended(notebook, 1), "the record")
    assert "stopped" in notebook.output(1).inner_text()
    notebook.run(2)
    assert "['v1', 'v1', 'v1']" in notebook.output(2).inner_text()


def test_double_click_on_boot_begins_once(notebook: Notebook) -> None:
    opened(notebook, "run = fleet.plan('v2').boot()", "list(run.events.event).count('RunStarted')")
    notebook.page.get_by_role("textbox", name="Type web@v2").fill("web@v2")
    notebook.page.get_by_role("button", name="Boot", exact=True).dblclick()
    notebook.until(lambda: ended(notebook, 1), "the record")
    notebook.run(2)
    assert notebook.output(2).inner_text().strip().endswith("1")


def test_by_keyboard_alone(notebook: Notebook) -> None:
    opened(notebook, "run = fleet.plan('v2').boot()", speed=0.15)
    page = notebook.page
    focused = "() => document.activeElement.getAttribute('placeholder') || document.activeElement.textContent"
    page.get_by_role("textbox", name="Type web@v2").focus()
    page.keyboard.type("web@v2")
    notebook.until(
        lambda: page.get_by_role("button", name="Boot", exact=True).is_enabled(), "a button that can be pressed"
    )
    page.keyboard.press("Tab")
    assert page.evaluate(focused) == "Boot"
    page.keyboard.press("Space")
    notebook.output(1).get_by_role("button", name="Cancel", exact=True).wait_for()
    notebook.output(1).get_by_role("button", name="Cancel", exact=True).focus()
    page.keyboard.press("Enter")
    notebook.until(lambda: ended(notebook, 1), "the record")
    assert "stopped" in notebook.output(1).inner_text()


def holds_record(notebook: Notebook, number: int) -> bool:
    text = notebook.output(number).inner_text()  # empty for a moment, where the cell was run again
    return "stopped" in text and "run the cell once more" not in text


def test_page_that_is_loaded_again_in_mid_run_goes_on_and_says_how_to_keep_the_record(notebook: Notebook) -> None:
    opened(notebook, "plan = fleet.plan('v2')", "run = plan.boot()", speed=0.05)  # longer than a page takes to load
    confirm(notebook)
    notebook.page.get_by_role("progressbar", name="boot app").wait_for()
    notebook.save()
    notebook.reload()
    notebook.page.get_by_role("progressbar", name="boot app v2 on 3 hosts").wait_for()
    notebook.page.get_by_role("button", name="Cancel", exact=True).click()
    notebook.page.get_by_text("run the cell once more to keep the record").wait_for()
    notebook.start(2)
    notebook.until(lambda: holds_record(notebook, 2), "the record")
    notebook.save()
    assert "stopped" in notebook.saved(2)[0]["data"]["text/plain"]


def test_click_while_the_kernel_is_busy_is_not_lost(notebook: Notebook) -> None:
    opened(notebook, "run = fleet.plan('v2').boot()", "import time; time.sleep(2)")
    notebook.page.get_by_role("textbox", name="Type web@v2").fill("web@v2")
    notebook.until(
        lambda: notebook.page.get_by_role("button", name="Boot", exact=True).is_enabled(), "a button to press"
    )
    notebook.start(2)
    notebook.page.get_by_role("button", name="Boot", exact=True).click()
    notebook.until(lambda: ended(notebook, 1), "the record")
    assert "v2 serves on web-1, web-2, web-3" in notebook.output(1).inner_text()


def test_enter_confirms_with_every_letter_typed_before_it_however_slow_the_kernel_is(notebook: Notebook) -> None:
    """The page holds back the letters after the first while the kernel works on it, and does not hold back Enter."""
    slow = "import time; run._shown.view().box.observe(lambda change: time.sleep(1), 'value')"
    opened(notebook, "run = fleet.plan('v2').boot()", slow)
    notebook.page.get_by_role("textbox", name="Type web@v2").press_sequentially("web@v2\n")
    notebook.until(lambda: ended(notebook, 1), "the record")
    assert "v2 serves on web-1, web-2, web-3" in notebook.output(1).inner_text()


def test_interrupt_of_wait_is_a_cancel(notebook: Notebook) -> None:
    opened(notebook, "run = fleet.plan('v2').boot(confirm='web@v2')", speed=0.05)
    notebook.page.get_by_role("progressbar", name="boot app").wait_for()
    notebook.append("print('it waits'); run.wait()")
    notebook.start(2)
    notebook.until(lambda: "it waits" in notebook.output(2).inner_text(), "a cell that waits")
    notebook.lab.interrupt(notebook.file.name)
    notebook.until(lambda: ended(notebook, 1), "the record")
    assert "stopped" in notebook.output(1).inner_text()
    notebook.until(lambda: "RolloutFailed" in notebook.output(2).inner_text(), "the error")


def test_table_is_searched_and_sorted_and_marks_meaning_by_words(notebook: Notebook) -> None:
    opened(notebook, "kn.show(fleet.containers)")
    output = notebook.output(1)
    output.get_by_role("searchbox", name="Search").fill("web-2")
    notebook.until(lambda: output.locator("tbody tr:visible").count() == 1, "one row")
    assert "1 of 3 rows" in output.inner_text()
    output.get_by_role("searchbox", name="Search").fill("")
    head = output.get_by_role("button", name="host", exact=True)
    head.click()
    head.click()
    assert output.locator("tbody tr").first.inner_text().startswith("web-3")
    assert output.locator("th[aria-sort=descending]").count() == 1
    looks_like("table", "\n".join(output.aria_snapshot().splitlines()[:14]))
