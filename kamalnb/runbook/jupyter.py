"""``kamalnb notebook``: JupyterLab on the project, with this Python as its kernel."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..errors import UsageError
from .catalogue import FOLDERS, project_root


def open_lab(
    arguments: Sequence[str] = (),
    directory: Path | None = None,
    *,
    become: Callable[[str, list[str], Mapping[str, str]], Any] = os.execve,
) -> None:
    """Becomes JupyterLab, on the project; ``arguments`` are passed on. Raises ``UsageError`` where it is missing."""
    missing = [name for name in ("jupyterlab", "ipykernel") if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed here. "
            'pip install "kamalnb[notebook]"'
        )
    root = project_root(directory)
    folder = next((one for one in reversed(FOLDERS) if (root / one).is_dir()), "")
    words = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={root}"]
    words += [f"--LabApp.default_url=/lab/tree/{folder}"] if folder else []
    # The kernel called python3 is then this Python's, also where the user has another one of that name.
    environ = {**os.environ, "JUPYTER_PREFER_ENV_PATH": "1"}
    become(sys.executable, [*words, *arguments], environ)
