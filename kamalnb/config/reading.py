"""Text of ``deploy.yml`` → ``Config``, or every problem at once. Nothing here may do I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from ..errors import ConfigError
from .building import build
from .checks import Asked, check
from .erb import mark
from .model import Config
from .places import Path, Problem
from .schema import DeployFile
from .sentences import in_order, problem_of
from .yamltext import Tree, read_tree


def read_config(
    text: str,
    overlay: str | None = None,
    *,
    environ: Mapping[str, str],
    destination: str | None = None,
    source: str = "config/deploy.yml",
    kamalnb_version: str = "",
) -> Config:
    """The ``Config`` in ``text``, with ``overlay`` (the text of ``deploy.<destination>.yml``) merged over it.

    ``environ`` is for ERB alone: secrets are only named here, and read late. Raises ConfigError with all problems.
    """
    base = read_tree(mark(text, environ))
    files = [base]
    if overlay is not None:
        name = overlay_name(source, destination)
        files.append(read_tree(mark(overlay, environ), where=f"({name}) "))
        source = f"{source} with {name}"
    problems = [problem for file in files for problem in file.problems]
    tree = _one_tree(files)
    if not isinstance(tree, dict):
        raise ConfigError(in_order(problems or [((), _no_mapping(tree))], tree), source)
    asked = Asked(destination=destination, kamalnb_version=kamalnb_version)
    file, more = _validate(tree, asked)
    doubtful = [path for part in files for path in part.doubtful]
    gaps = dict(gap for part in files for gap in part.unset)
    problems += [(path, gaps.get(path, why)) for path, why in more if not _below(path, doubtful)]
    if problems or file is None:
        raise ConfigError(in_order(problems, tree), source)
    return build(file, keys=tree, destination=destination)


def overlay_name(source: str, destination: str | None) -> str:
    """``deploy.staging.yml`` for ``config/deploy.yml`` and ``staging``."""
    stem, dot, ending = source.replace("\\", "/").rpartition("/")[2].rpartition(".")
    return f"{stem or ending}.{destination}{dot}{ending if stem else ''}"


def _one_tree(files: list[Tree]) -> Any:
    tree = files[0].value
    for overlay in files[1:]:
        if overlay.value is not None:  # an overlay of comments changes nothing
            tree = _merge(tree, overlay.value)
    return tree


def _merge(base: Any, over: Any) -> Any:
    """Mappings key by key, everything else replaced, as Rails' deep_merge does for Kamal."""
    if not (isinstance(base, dict) and isinstance(over, dict)):
        return over
    return {**base, **{key: _merge(base[key], value) if key in base else value for key, value in over.items()}}


def _no_mapping(tree: Any) -> str:
    what = "is empty" if tree is None else "is no mapping of keys (`service: my-app`)"
    return f"{what}. Start from config/deploy.reference.yml, or from the README's example."


def _validate(tree: dict[str, Any], asked: Asked) -> tuple[DeployFile | None, list[Problem]]:
    """The file's form and what its parts are to each other; where both complain of one place, the checks' word."""
    problems = check(tree, asked)
    said: set[Path] = {path for path, _ in problems}
    own = {key: value for key, value in tree.items() if not key.startswith("x-")}
    try:
        return DeployFile.model_validate(own), problems
    except ValidationError as error:
        found = [problem_of(one, tree) for one in error.errors(include_url=False)]
    return None, problems + [problem for problem in found if problem[0] not in said]


def _below(path: Path, places: list[Path]) -> bool:
    return any(path[: len(place)] == place for place in places)
