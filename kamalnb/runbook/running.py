"""Runs a runbook with nobody there: checks its parameters, runs its cells one by one, keeps the notebook, gives the
exit code. A signal is passed on to what runs, which then ends cleanly; the notebook is saved with how it ended.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import json
import os
import queue
import signal
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import exits
from ..errors import KamalnbError
from . import catalogue, hiding, inside, kernel, parameters, record
from .record import Record
from .telling import Telling

PATIENCE = 900.0
"""Seconds that a cancelled rollout has until its kernel is ended: a host past its switch may be draining."""
AGAIN = 0.1
"""Seconds until an interrupt is sent again: one that comes outside a cell's own code is left out (``interrupts``)."""
ANSWER = 60.0
"""Seconds that an idle kernel has to answer a question."""
INSIDE = f"__import__('importlib').import_module('{inside.__name__}')"
SETTLE = "from kamalnb.runbook.inside import settle\n\nsettle({cancel})  # a rollout had not ended"
LEFT = "What the hosts had begun they finish by themselves. invoke status shows where they stand."
SIGNALS = {signal.SIGINT: exits.STOPPED, signal.SIGTERM: exits.TERMINATED, signal.SIGHUP: exits.TERMINATED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a run ended: exit code, why in a sentence, and the cell where."""

    code: int = exits.OK
    sentence: str = ""
    cell: int | None = None


def run(
    name: str, given: Sequence[str] = (), *, dry_run: bool = False, confirm: str = "", out: str = "",
    as_json: bool = False, quiet: bool = False, directory: Path | None = None,
) -> int:  # fmt: skip
    """Runs the runbook called ``name`` (or the file) from the project at ``directory``; the exit code (``exits``).

    ``given`` are ``name=value`` words, ``out`` a directory or file for the notebook that is left. Raises ``UsageError``
    for a mistake that is seen before anything begins.
    """
    kernel.must_be_installed()
    cwd = (directory or Path.cwd()).absolute()
    runbook = catalogue.find(name, cwd)
    values = parameters.values(runbook.parameters, given, ())
    secrets = _secrets(runbook, values)
    values = parameters.values(runbook.parameters, given, sorted(secrets))
    environ = kernel.environment(os.environ, confirm=confirm, dry_run=dry_run)
    with record.place(out, runbook, catalogue.project_root(cwd), cwd) as path:
        kept = record.started(runbook, values, path, secrets, os.environ.get("KAMALNB_PERFORMER", ""))
        running = Running(kept, runbook.path.parent, Telling(as_json=as_json, quiet=quiet))
        return asyncio.run(running.to_the_end(environ, dry_run))


class Running:
    """One run of one notebook in one kernel."""

    def __init__(self, kept: Record, cwd: Path, telling: Telling) -> None:
        self._record = kept
        self._cwd = cwd
        self._telling = telling
        self._client: Any = None
        self._reply: Mapping[str, Any] = {}
        self._signal: signal.Signals | None = None
        self._runs = False
        self._cancels = False
        self._gave_up = ""
        self._pipe = -1
        self._heard = b""
        self._at: int | None = None
        self._plan: Mapping[str, Any] | None = None

    async def to_the_end(self, environ: dict[str, str], dry_run: bool) -> int:
        """Runs every cell; the exit code."""
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="kamalnb-") as directory, self._signals():
            self._client = kernel.client_for(self._record.document, self._cwd, Path(directory))
            self._client.on_cell_executed = self._executed
            self._save()
            try:
                ended = await self._in_kernel(environ, dry_run)
            finally:
                await self._shut_down()
        if self._signal is not None:
            sentence = self._gave_up or f"Stopped by {self._signal.name}."
            ended = Ended(code=SIGNALS[self._signal], sentence=sentence, cell=ended.cell)
        hide = hiding.hider(self._record.secrets)
        self._record.ended(ended.code, _banner(ended), ended.cell)
        saved = self._save()
        code = ended.code if saved else ended.code or exits.FAILED
        self._telling.ended(code, time.monotonic() - began, str(self._record.path), hide(ended.sentence))
        return code

    async def _in_kernel(self, environ: dict[str, str], dry_run: bool) -> Ended:
        read, write = os.pipe()
        os.set_blocking(read, False)
        self._pipe = read
        try:
            await self._client.async_start_new_kernel(
                env={**environ, inside.PIPE: str(write)}, pass_fds=(write,), independent=False
            )
            os.close(write)
            write = -1
            await self._client.async_start_new_kernel_client()
            asyncio.get_running_loop().add_reader(read, self._progress, read)
            await self._asked(f"{INSIDE}.begin()")
            ended = await self._cells()
            return await self._settled(ended, dry_run)
        except _Gone:
            return Ended(code=exits.FAILED, sentence=f"The kernel ended by itself. {LEFT}", cell=self._at)
        except RuntimeError as error:  # jupyter_client's word for a kernel that does not come up
            return Ended(code=exits.FAILED, sentence=f"The kernel does not start: {error}. Nothing was run.")
        finally:
            asyncio.get_running_loop().remove_reader(read)
            for number in (read, *([write] if write >= 0 else [])):
                os.close(number)

    async def _cells(self) -> Ended:
        for place, cell in enumerate(self._record.document["cells"]):
            if cell["cell_type"] != "code" or not cell["source"].strip():
                continue
            if self._signal is not None:
                return Ended()
            if ended := await self._one(place):
                return ended
        return Ended()

    async def _one(self, place: int) -> Ended | None:
        """Runs a cell; how it ended everything, or None."""
        from nbclient.exceptions import DeadKernelError

        cell, self._at = self._record.document["cells"][place], place
        self._reply, self._runs = {}, True
        began, number = time.monotonic(), self._client.code_cells_executed + 1
        self._telling.cell_started(number)
        try:
            await self._client.async_execute_cell(cell, place)
        except DeadKernelError:
            raise _Gone from None
        finally:
            self._runs = False
        expected = "raises-exception" in cell["metadata"].get("tags", ())
        failed = self._reply.get("status") != "ok" and not expected
        state = await self._state()
        self._progress(self._pipe)  # what was told before the answer
        self._save()
        how = "ok" if not failed else "stopped" if self._signal is not None else "failed"
        self._telling.cell_finished(number, time.monotonic() - began, how, self._new_plan(state))
        if not failed:
            return None
        error = state.get("error") or {"sentence": str(self._reply.get("evalue", "")), "code": exits.FAILED}
        sentence = str(error["sentence"])
        if error.get("kind") == "NotConfirmed" and state["waiting"]:
            sentence += f" For a runbook: --confirm={state['waiting'][-1]}"
        return Ended(code=int(error["code"]), sentence=sentence, cell=place)

    async def _settled(self, ended: Ended, dry_run: bool) -> Ended:
        """A rollout that goes on behind the last cell is waited for, or cancelled where the notebook failed."""
        state = await self._state()
        cancel = ended.code != exits.OK or self._signal is not None
        for _ in range(2):  # the second time for one that was interrupted while it was waited for
            if not state["going"]:
                break
            self._telling.note(f"still going on: {', '.join(state['going'])}; {'cancelling' if cancel else 'waiting'}")
            self._cancels = cancel
            cells = self._record.document["cells"]
            cells.append(record.added(SETTLE.format(cancel="cancel=True" if cancel else "")))
            cells[-1]["id"] = f"{cells[-1]['id']}-{len(cells)}"
            last = await self._one(len(cells) - 1)
            ended = ended if ended.code != exits.OK or last is None else last
            state, cancel = await self._state(), True
        if state["going"]:
            return Ended(code=ended.code or exits.FAILED, sentence=f"A rollout did not come to its end. {LEFT}")
        if state["waiting"] and ended.code == exits.OK and not dry_run and self._signal is None:
            why = "A rollout was made and never run: nothing was changed by it. Say run.wait() after it."
            return Ended(code=exits.WRONG, sentence=why)
        return ended

    async def _state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(await self._asked(f"{INSIDE}.state(globals())"))
        self._record.secrets |= {secret for secret in state["secrets"] if secret}
        return state

    async def _asked(self, expression: str) -> str:
        """What an expression is in the kernel, which is idle; it must be a text or None."""
        client = self._client.kc
        sent = client.execute("", silent=True, store_history=False, user_expressions={"asked": expression})
        try:
            while True:
                reply = await client.get_shell_msg(timeout=ANSWER)
                if reply["parent_header"].get("msg_id") == sent:
                    break
        except queue.Empty:
            raise _Gone from None
        answer = reply["content"].get("user_expressions", {}).get("asked", {})
        if answer.get("status") != "ok":
            raise KamalnbError(f"a defect of kamalnb: the kernel answers {answer}. Please report it.")
        found = ast.literal_eval(answer["data"]["text/plain"])
        return found if isinstance(found, str) else ""

    async def _shut_down(self) -> None:
        client = self._client
        with contextlib.suppress(Exception):  # it may be gone already, and there is nothing left to save
            if client.kc is not None:
                client.kc.shutdown()  # not the manager's: that interrupts a kernel first, which then complains
                await client.km.finish_shutdown()
                client.kc.stop_channels()
            await client.km.cleanup_resources()

    def _executed(self, cell: Any, cell_index: int, execute_reply: Any) -> None:
        self._reply = execute_reply["content"]

    def _new_plan(self, state: Mapping[str, Any]) -> Mapping[str, Any] | None:
        plan = state["plans"][-1] if state["plans"] else None
        if plan is None or plan == self._plan:
            return None
        self._plan = plan
        self._record.about["plan"] = plan["id"]
        return plan  # type: ignore[no-any-return]

    def _progress(self, read: int) -> None:
        with contextlib.suppress(BlockingIOError):
            self._heard += os.read(read, 65536)
        *lines, self._heard = self._heard.split(b"\n")
        for line in lines:
            with contextlib.suppress(ValueError, LookupError):  # a cell wrote into it
                self._telling.progress(json.loads(line))

    def _save(self) -> bool:
        try:
            self._record.save()
        except OSError as error:  # a full disk stops no rollout
            self._telling.note(f"{self._record.path} cannot be saved: {error.strerror}. The run goes on.")
            return False
        return True

    @contextlib.contextmanager
    def _signals(self) -> Any:
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._stop, number)
        try:
            yield
        finally:
            for number in SIGNALS:
                loop.remove_signal_handler(number)

    def _stop(self, number: signal.Signals) -> None:
        """The first signal is passed on, the second SIGINT leaves, as with every task."""
        if self._signal is None:
            self._signal = number
            self._telling.note(f"{number.name}: cancelling. Waiting until every host is safe; Ctrl-C again leaves now.")
            asyncio.get_running_loop().call_later(PATIENCE, self._give_up, f"It did not end within {PATIENCE:g} s.")
            self._interrupt()
        elif number == signal.SIGINT:
            self._give_up("Left before its end.")

    def _interrupt(self) -> None:
        """Until the cell has ended; it takes one. What cancels by itself needs none."""
        if self._runs and not self._cancels:
            kernel.interrupt(self._client.km)
            asyncio.get_running_loop().call_later(AGAIN, self._interrupt)

    def _give_up(self, why: str) -> None:
        self._gave_up = f"{why} {LEFT}"
        kernel.kill(self._client.km)


class _Gone(Exception):
    """The kernel does not answer any more."""


def _secrets(runbook: catalogue.Runbook, values: Mapping[str, Any]) -> set[str]:
    """Of the project that the notebook will look at: its parameters may name another file."""
    defaults = {one.name: one.default for one in runbook.parameters}
    file, destination = (str(values.get(name, defaults.get(name)) or "") for name in ("config_file", "destination"))
    return hiding.known(file or None, destination or None, runbook.path.parent, os.environ)


def _banner(ended: Ended) -> str:
    if not ended.sentence:
        return ""
    first, _, rest = ended.sentence.partition("\n")
    more = f"\n\n```text\n{rest}\n```\n\n" if rest else ""
    return f"**This run ended with exit code {ended.code}.** {first}{more}"
