"""Takes the pictures for README: `python tests/browser/pictures.py docs/images [panel]`. Pretend hosts, both themes."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from lab_page import Notebook, chromium, running

FLEET = (
    "import kamalnb as kn\nfleet = kn.pretend(6, fail={'web-5': 'never healthy'}, speed=1.0, file='boot: {limit: 3}')"
)
PANEL = """import kamalnb as kn
kn.panel(kn.pretend(6, fail={"web-6": "unreachable"}, speed=5.0, file="boot: {limit: 3}"))"""


def shot(notebook: Notebook, number: int, file: Path) -> None:
    notebook.page.mouse.move(5, 5)
    notebook.page.wait_for_timeout(400)
    notebook.cell(number).scroll_into_view_if_needed()
    notebook.output(number).screenshot(path=file)


def confirm(notebook: Notebook, number: int, target: str) -> None:
    box = notebook.output(number).get_by_role("textbox", name=f"Type {target}")
    box.fill(target)
    box.press("Enter")


def opened(notebook: Notebook, theme: str, *cells: str) -> None:
    notebook.open(*cells)
    page = notebook.page
    page.evaluate(
        "theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", f"JupyterLab {theme.title()}"
    )
    page.evaluate("() => window.jupyterapp.commands.execute('application:toggle-left-area')")
    page.wait_for_timeout(1500)


def take_rollout(notebook: Notebook, out: Path, theme: str) -> None:
    opened(notebook, theme, FLEET, "plan = fleet.plan('v2'); plan", "run = plan.boot()", "run.timeline()",
           "kn.show(fleet.containers)")  # fmt: skip
    page = notebook.page
    for number in (0, 1, 2):
        notebook.run(number)
    shot(notebook, 1, out / f"plan-{theme}.png")
    confirm(notebook, 2, "web@v2")
    page.get_by_text("batch 2 of 2").wait_for()
    page.wait_for_timeout(2500)
    shot(notebook, 2, out / f"running-{theme}.png")
    notebook.until(lambda: notebook.output(2).locator(".kn-card").count() > 0, "the record", 120)
    shot(notebook, 2, out / f"finished-{theme}.png")
    notebook.run(3)
    shot(notebook, 3, out / f"timeline-{theme}.png")
    notebook.run(4)
    page.wait_for_timeout(1500)
    shot(notebook, 4, out / f"table-{theme}.png")


def take_panel(notebook: Notebook, out: Path, theme: str) -> None:
    opened(notebook, theme, PANEL)
    notebook.run(0)
    panel = notebook.output(0)
    panel.get_by_text("5 of 6 hosts answered.").wait_for()
    panel.get_by_role("checkbox", name="Leave out unreachable hosts: web-6").check()
    panel.get_by_role("textbox", name="or type one").fill("v2")
    panel.get_by_role("button", name="Plan", exact=True).click()
    panel.get_by_role("textbox", name="Type web@v2").wait_for()
    shot(notebook, 0, out / f"panel-{theme}.png")
    confirm(notebook, 0, "web@v2")
    notebook.until(lambda: panel.get_by_role("button", name="Undo", exact=True).count() == 2, "the way back", 120)
    notebook.until(lambda: panel.get_by_role("button", name="Plan", exact=True).is_enabled(), "the new look")
    shot(notebook, 0, out / f"panel-finished-{theme}.png")


def main(out: Path, *chosen: str) -> None:
    out.mkdir(parents=True, exist_ok=True)
    takes = {"rollout": take_rollout, "panel": take_panel}
    with running(Path(tempfile.mkdtemp(prefix="kamalnb-")), "lab") as lab, chromium() as browser:
        for name in chosen or takes:
            for theme in ("light", "dark"):
                notebook = Notebook(lab, browser, f"{name}{theme}", width=1120, height=1300)
                takes[name](notebook, out, theme)
                notebook.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
