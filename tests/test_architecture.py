"""The house of design.md, read from the source: imports point down only, pure modules stay pure, importing is light."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[1] / "kamalnb"
FILES = sorted(path for path in HOUSE.rglob("*.py") if "images" not in path.relative_to(HOUSE).parts)

PURE = {"errors", "shell", "docker", "traefik", "sockets", "cutover", "switch", "boot", "plan", "rollout", "events"}
PURE |= {"attempt", "undo", "aftermath", "flow", "script", "preflight", "executor", "wording", "exits"}
PURE |= {"tables", "report", "steps", "shown", "history", "ways", "candidates", "live", "naming"}
PURE_FOLDERS = {"commands", "config", "reads", "flows"}
NO_IO = {
    *(
        "time",
        "threading",
        "random",
        "secrets",
        "subprocess",
        "socket",
        "os",
        "pathlib",
        "io",
        "shutil",
        "tempfile",
        "urllib",
    ),
    *(
        "datetime",
        "concurrent",
        "asyncio",
        "queue",
        "logging",
        "sys",
        "signal",
        "select",
        "getpass",
        "platform",
        "http",
    ),
    *("fabric", "paramiko", "invoke", "pandas", "IPython", "ipywidgets", "rich", "dotenv"),
}
SSH_FILES = {"ssh"}
ALLOWED = {
    "config/envfile.py": {"dotenv.parser", "io"},  # parsers of texts in memory
    "tables.py": {"datetime"},  # arithmetic on moments, never the clock
}

# Each floor may import its own and those below.
FLOORS = {
    "pure": 0,
    "flags": 0,
    "lab": 1,
    "locks": 1,
    "project": 1,
    "hooks": 1,
    "local": 1,
    "tags": 1,
    "init": 1,
    **dict.fromkeys(SSH_FILES, 1),
    "dry": 1,
    "looks": 1,
    "crew": 1,
    "engine": 2,
    "following_logs": 2,
    "executing": 2,
    "check": 3,
    "runs": 3,
    "fleet": 3,
    "frames": 3,
    "testing": 4,
    "console": 4,
    "notebook": 4,
    "runbook": 4,
    "command_line": 4,
    "at": 4,
    "tasks": 5,
    "readme": 5,
    "development": 5,
    "program": 6,
}


def part_of(path: Path) -> str:
    """The first word below kamalnb: a module or a folder."""
    return path.relative_to(HOUSE).parts[0].removesuffix(".py")


def is_pure(path: Path) -> bool:
    return part_of(path) in PURE | PURE_FOLDERS


def floor_of(part: str) -> int | None:
    return 0 if part in PURE | PURE_FOLDERS else FLOORS.get(part)


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def imports(path: Path, *, late: bool = True) -> list[str]:
    """Absolute names of what it imports; type checking left out, imports inside functions with ``late`` alone."""
    tree = tree_of(path)
    package = ("kamalnb", *path.relative_to(HOUSE).parent.parts)
    found: list[str] = []

    def visit(node: ast.AST, inside: bool) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            return
        inner = inside or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if isinstance(node, ast.Import) and (late or not inside):
            found.extend(alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom) and (late or not inside):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            name = ".".join(filter(None, (base, node.module)))
            found.extend([name] if node.module else [f"{name}.{alias.name}" for alias in node.names])
        for child in ast.iter_child_nodes(node):
            visit(child, inner)

    visit(tree, False)
    return found


def ids(path: Path) -> str:
    return str(path.relative_to(HOUSE))


@pytest.mark.parametrize("path", [path for path in FILES if is_pure(path)], ids=ids)
def test_pure_module_imports_nothing_that_does_anything(path: Path) -> None:
    heavy = {name for name in imports(path) if name.partition(".")[0] in NO_IO}
    assert heavy <= ALLOWED.get(ids(path), set())


@pytest.mark.parametrize("path", [path for path in FILES if is_pure(path)], ids=ids)
def test_pure_module_does_not_print_read_or_open(path: Path) -> None:
    calls = {
        node.func.id
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert calls & {"print", "open", "input", "eval", "exec", "__import__"} == set()


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_imports_point_down_only(path: Path) -> None:
    here = part_of(path)
    if here in ("__init__", "__main__"):
        return
    floor = floor_of("tasks" if here == "lab" and path.stem.startswith(("demo", "bench")) else here)
    assert floor is not None, f"{here} has no floor in this test: give it one"
    for name in imports(path):
        words = name.split(".")
        if words[0] != "kamalnb" or len(words) == 1 or words[1] in (here, "__version__"):
            continue
        below = floor_of(words[1])
        assert below is not None, f"{words[1]} has no floor in this test: give it one"
        assert below <= floor, f"{here} imports {name}, which is above it"


def test_commands_stand_on_config_docker_and_shell_not_on_the_boot() -> None:
    for path in FILES:
        if part_of(path) in ("commands", "config", "shell", "errors", "docker", "sockets"):
            above = {
                name
                for name in imports(path)
                if name.split(".")[1:2] and name.split(".")[1] in ("boot", "switch", "rollout", "preflight")
            }
            assert above == set(), path
        if part_of(path) == "config":
            assert {
                name
                for name in imports(path)
                if name.startswith("kamalnb.") and name.split(".")[1] not in ("config", "shell", "errors")
            } == set()


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_fabric_and_paramiko_are_for_the_ssh_files_alone(path: Path) -> None:
    ours = {name for name in imports(path) if name.partition(".")[0] in ("fabric", "paramiko")}
    if part_of(path) not in SSH_FILES and part_of(path) not in ("lab",):
        assert ours == set()
    if part_of(path) != "lab" or "bench" not in path.stem:
        assert (
            not {name for name in imports(path, late=False) if name.partition(".")[0] == "fabric"}
            or ids(path) == "ssh/wire.py"
        )


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_files_are_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONG.get(ids(path), 330)


LONG = {"config/sentences.py": 400, "cutover.py": 340}
"""Longer than they should be."""


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_functions_are_short(path: Path) -> None:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= 45, f"{node.name} has {length} lines"


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_modules_and_public_names_say_what_they_are(path: Path) -> None:
    tree = tree_of(path)
    if not tree.body:
        return
    assert ast.get_docstring(tree), "a module without a docstring"
    if part_of(path) == "lab" or ids(path) in ("config/schema.py", "config/fields.py"):
        return  # pydantic shows docstrings to people: these have field descriptions instead
    named = (
        node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
    )
    assert [node.name for node in named if not ast.get_docstring(node)] == []


HEAVY = ("pandas", "ipywidgets", "fabric", "paramiko", "pydantic", "rich", "yaml", "IPython")


@pytest.mark.parametrize("module", ["kamalnb", "kamalnb.tasks", "kamalnb.fleet", "kamalnb.testing", "kamalnb.program"])
def test_importing_is_light(module: str) -> None:
    name = HOUSE / (module.replace("kamalnb.", "").replace("kamalnb", "__init__") + ".py")
    if not name.exists() and not (name.with_suffix("") / "__init__.py").exists():
        pytest.skip(f"there is no {module} yet")
    code = f"import sys, {module}; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=HOUSE.parent)
    # Invoke itself loads PyYAML.
    assert set(done.stdout.split()) <= ({"yaml"} if module in ("kamalnb.tasks", "kamalnb.program") else set())


def test_sleeping_is_for_the_clock_the_wire_and_the_lab() -> None:
    sleepers = set()
    for path in FILES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Attribute) and node.attr == "sleep" and part_of(path) != "lab":
                sleepers.add(part_of(path))
    assert sleepers <= {*SSH_FILES, "testing", "locks"}
