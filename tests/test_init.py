"""What ``init`` writes: files that work as they stand, apart from what is to be filled in; nothing is overwritten."""

from __future__ import annotations

import stat
import subprocess
import sys
import zipfile
from importlib.resources import files
from pathlib import Path

import pytest
import yaml

from kamalnb.config.ignored import ignored
from kamalnb.errors import UsageError
from kamalnb.hooks import NAMES, TRUTHS, Details, run_hook
from kamalnb.init import CIS, init
from kamalnb.project import load

ROOT = Path(__file__).parents[1]
WORKFLOW = ".github/workflows/deploy.yml"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    place = tmp_path / "My Shop"
    place.mkdir()
    return place


def git(root: Path, *words: str) -> str:
    command = ["git", "-C", str(root), "-c", "user.name=n", "-c", "user.email=n@example.com", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_the_written_file_loads_and_asks_for_nothing_that_is_passed_over(root: Path) -> None:
    init(root)
    project = load(environ={}, cwd=root)
    assert (project.config.service, project.config.repository) == ("my-shop", "ghcr.io/my-name/my-shop")
    assert (project.warnings, ignored(project.config), project.config.left_alone) == ((), (), ())


def test_what_is_commented_out_in_the_written_file_is_valid_too(root: Path) -> None:
    init(root)
    path = root / "config/deploy.yml"
    lines = path.read_text().splitlines()
    starts = (
        "labels:",
        "  traefik.http",
        "jobs:",
        "  hosts:",
        "    - 192",
        "  cmd:",
        "env:",
        "  clear:",
        "    DATABASE",
    )
    starts += ("  secret:", "    - DATABASE", "release:", "boot:", "  limit:", "  wait:", "ssh:", "  user:")
    opened = [line.replace("# ", "", 1) if line.strip()[2:].startswith(starts) else line for line in lines]
    assert len([1 for before, after in zip(lines, opened, strict=True) if before != after]) == len(starts) + 0
    path.write_text("\n".join(opened))
    config = load(environ={}, cwd=root).config
    assert config.release is not None
    assert (config.role("jobs").cmd, config.boot.limit, config.ssh.user) == ("bin/jobs", "25%", "deploy")
    assert list(config.role("web").labels) == ["traefik.http.routers.my-shop-web.rule"]
    assert list(config.role("web").env.secret) == ["DATABASE_PASSWORD"]


def test_every_file_is_told_with_what_became_of_it(root: Path) -> None:
    found = init(root, ci="github")
    assert [one.path for one in found] == [
        "config/deploy.yml",
        "tasks.py",
        *(f".kamal/hooks/{name}.sample" for name in TRUTHS),
        ".env",
        WORKFLOW,
    ]
    assert {one.state for one in found} == {"written"}
    assert found[0].sentence == "config/deploy.yml was written."


def test_nothing_is_overwritten_and_that_is_said(root: Path) -> None:
    git(root.parent, "init", str(root))
    init(root, ci="github")
    names = [path for path in root.rglob("*") if path.is_file() and ".git" not in path.relative_to(root).parts]
    assert len(names) == 4 + len(TRUTHS) + 1
    for path in names:
        path.write_text(path.read_text() + "# mine\n")
    before = {path: path.read_text() for path in names}
    found = init(root, ci="github")
    assert {path: path.read_text() for path in names} == before
    assert {one.state for one in found} == {"kept"}
    assert found[0].sentence == "config/deploy.yml is there already and was left as it is."


def test_a_link_is_not_followed(root: Path) -> None:
    (root / ".env").symlink_to(root / "elsewhere")
    assert [one.state for one in init(root) if one.path == ".env"] == ["kept"]
    assert not (root / "elsewhere").exists()


def test_secrets_are_for_their_owner_alone_and_hooks_can_be_run(root: Path) -> None:
    init(root)
    assert stat.S_IMODE((root / ".env").stat().st_mode) == 0o600
    assert all(path.stat().st_mode & stat.S_IXUSR for path in (root / ".kamal/hooks").iterdir())


def test_git_does_not_take_the_secrets(root: Path) -> None:
    git(root.parent, "init", str(root))
    (root / ".gitignore").write_text("*.log")
    (told,) = [one for one in init(root) if one.path == ".gitignore"]
    assert told.sentence == ".gitignore now names .env and .env.*."
    assert (root / ".gitignore").read_text() == "*.log\n.env\n.env.*\n"
    git(root, "add", "--all")
    assert ".env" not in git(root, "ls-files").split("\n")
    assert "config/deploy.yml" in git(root, "ls-files").split("\n")


@pytest.mark.parametrize("line", [".env*\n", "/.env\n.env.*\n", ".*\n"])
def test_what_git_ignores_already_is_not_named_again(root: Path, line: str) -> None:
    git(root.parent, "init", str(root))
    (root / ".gitignore").write_text(line)
    assert [one for one in init(root) if one.path == ".gitignore"] == []
    assert (root / ".gitignore").read_text() == line


def test_without_a_repository_no_gitignore_is_written(root: Path) -> None:
    init(root)
    assert not (root / ".gitignore").exists()


@pytest.mark.parametrize("name", list(TRUTHS))
def test_each_sample_hook_runs_as_it_stands(root: Path, name: str) -> None:
    init(root)
    sample = root / f".kamal/hooks/{name}.sample"
    sample.rename(sample.with_suffix(""))
    details = Details(version="abc1234", hosts=("web-1",), command="deploy", runtime=3.0, error="no disk")
    project = load(environ={"PATH": "/usr/bin:/bin"}, cwd=root)
    result = run_hook(project, name, details, lambda line: None)
    assert (result.ran, result.warning, len(result.last_lines)) == (True, "", 1)


def test_the_samples_explain_the_variables_that_hooks_are_told_and_no_others() -> None:
    texts = [(files("kamalnb") / "templates/hooks" / f"{name}.sample").read_text() for name in TRUTHS]
    words = {
        word
        for text in texts
        for line in text.splitlines()
        if line.startswith("#   KAMAL")
        for word in line.split()[1:2]
    }
    assert words == NAMES - {"KAMAL_ROLE"}  # Kamal 1's samples promise that one; KAMAL_ROLES is the same


def test_the_tasks_file_gives_the_tasks(root: Path) -> None:
    init(root)
    done = subprocess.run(
        [sys.executable, "-m", "invoke", "--list"], cwd=root, capture_output=True, text=True,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert "traefik.boot" in done.stdout, done.stderr


def test_the_workflow_is_yaml_that_deploys_what_was_pushed_one_at_a_time(root: Path) -> None:
    init(root, ci="github")
    text = (root / WORKFLOW).read_text()
    flow = yaml.safe_load(text)
    assert flow["concurrency"] == {"group": "deploy-my-shop", "cancel-in-progress": False}
    (job,) = flow["jobs"].values()
    runs = [step["run"] for step in job["steps"] if "run" in step]
    assert runs == ["pip install kamalnb", "kamalnb deploy --version=${{ github.sha }}"]
    secrets = ["KAMALNB_SSH_KEY", "REGISTRY_PASSWORD"]
    assert job["steps"][-1]["env"] == {name: f"${{{{ secrets.{name} }}}}" for name in secrets}
    assert "config/known_hosts" in text
    assert "ghcr.io/my-name/my-shop:<commit>" in text


def test_the_workflow_has_the_secrets_of_the_deploy_yml_that_is_there(root: Path) -> None:
    (root / "config").mkdir()
    more = "env: {secret: {A: {env: DB}, B: {file: b}}}\nhooks_path: my/hooks\nssh: {key_data: [KAMALNB_SSH_KEY]}\n"
    (root / "config/deploy.yml").write_text(f"service: app\nimage: me/app\nservers: [a]\n{more}")
    found = {one.path: one.state for one in init(root, ci="github")}
    assert (found["config/deploy.yml"], found["my/hooks/pre-deploy.sample"]) == ("kept", "written")
    (job,) = yaml.safe_load((root / WORKFLOW).read_text())["jobs"].values()
    assert list(job["steps"][-1]["env"]) == ["KAMALNB_SSH_KEY", "DB"]


def test_a_broken_deploy_yml_hinders_nothing(root: Path) -> None:
    (root / "config").mkdir()
    (root / "config/deploy.yml").write_text("service: [")
    assert {one.path: one.state for one in init(root, ci="github")}[WORKFLOW] == "written"


def test_mistakes_are_sentences(root: Path) -> None:
    with pytest.raises(UsageError, match=r"no workflow for githb\. Write --ci=github"):
        init(root, ci="githb")
    assert list(root.iterdir()) == []
    (root / "config").touch()
    with pytest.raises(UsageError, match=r"config/deploy\.yml cannot be written"):
        init(root)


def test_a_wheel_has_every_template_and_the_command(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (entry,) = [name for name in names if name.endswith("entry_points.txt")]
        assert "kamalnb = kamalnb.program:main" in archive.read(entry).decode()
    here = ROOT / "kamalnb" / "templates"
    templates = {str(path.relative_to(ROOT)) for path in here.rglob("*") if path.is_file()}
    assert len(templates) == 4 + len(TRUTHS)
    assert templates | {"kamalnb/config/deploy.schema.json", "kamalnb/py.typed"} <= names
    assert set(CIS) == {"github"}
