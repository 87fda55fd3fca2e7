"""What the tests share: the template rendered, set up once, and private copies of that to run commands in."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import copier
import pytest
from copier.errors import DirtyLocalWarning

from quick_copier import hasten

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "template" / "src"
sys.path.insert(0, str(SOURCE))


def pytest_configure(config: pytest.Config) -> None:
    """Let pytest-copie render this template wherever pytest was started, and Copier be quick."""
    config.option.template = str(ROOT)
    hasten()


SLOWEST = (
    "test_from_nothing",
    "test_update",
    "push/test_interrupted",
    "push/test_faults",
    "test_python_versions",
    "test_in_a_project",
    "test_project_files",
    "test_truth",
    "test_replaying",
    "test_update_released",
    "test_commands",
    "test_interactive",
    "test_project_ci",
    "test_contract",
    "test_many",
    "production/test_runs",
    "test_init",
    "test_engines",
    "test_forked_kernels",
    "test_without_the_server",
    "test_failures",
    "test_life",
    "test_provenance",
    "test_site",
    "test_in_a_browser",
    "test_untrusted",
)
"""Modules that begin first, so that no worker is left alone with one of them in the end.

Of the first four, one needs ``synced``: the other workers need not wait while it is made.
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the slowest modules first; within each the order stays."""
    ranks = {name: rank for rank, name in enumerate(SLOWEST)}

    def rank(item: pytest.Item) -> int:
        name = item.path.stem
        return min(ranks.get(one, len(ranks)) for one in (name, f"{item.path.parent.name}/{name}"))

    items.sort(key=rank)


@dataclass(frozen=True)
class Outcome:
    """How a command ended, and what it wrote."""

    rc: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """Both outputs, for messages."""
        return self.out + self.err


@dataclass(frozen=True)
class ProjectFolder:
    """A rendered project, and the environment variables that its commands run with."""

    path: Path
    env: Mapping[str, str]

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def __fspath__(self) -> str:
        return str(self.path)

    def popen(
        self, *command: str, env: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[str]:
        """Start a command in the project; ``run`` without the wait. One of the project's own needs no `uv run`."""
        own = Path(self.env.get("UV_PROJECT_ENVIRONMENT", self / ".venv")) / "bin" / command[0]
        if command[0] == "uv":
            command = (self.env["UV"], *command[1:])
        elif own.is_file():
            command = (str(own), *command[1:])
        options = {"cwd": self.path, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        return subprocess.Popen(
            command, env={**self.env, **(env or {})}, text=True, encoding="utf-8", **options
        )

    def run(
        self,
        *command: str,
        check: bool = False,
        timeout: float = 300,
        stdin: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Outcome:
        """Run a command in the project, such as ``run("uv", "run", "deriva-ml-init")``.

        Args:
            check: fail the test, showing what was written, unless the command succeeds.
            timeout: in seconds.
            stdin: what the command reads; nothing otherwise.
            env: further environment variables.
            cwd: instead of the project's root.
        """
        process = self.popen(
            *command, env=env, cwd=cwd or self.path, stdin=subprocess.PIPE, start_new_session=True
        )
        try:
            out, err = process.communicate(stdin, timeout)
        except subprocess.TimeoutExpired as expired:
            # With all that it started. What left its group may hold the pipes for ever, so they are not read again.
            os.killpg(process.pid, signal.SIGKILL)
            written = b"".join(filter(None, (expired.stdout, expired.stderr))).decode(errors="replace")
            pytest.fail(f"{' '.join(command)} took more than {timeout} s\n{written}")
        outcome = Outcome(process.returncode, out, err)
        if check and outcome.rc:
            pytest.fail(f"{' '.join(command)} ended with {outcome.rc}\n{outcome.text}")
        return outcome

    def looked_up(self, *words: str) -> Any:
        """What `deriva-ml-catalog` says of these words, as JSON; without the start of a process."""
        from deriva_ml.cli import catalog

        said = io.StringIO()
        with contextlib.chdir(self.path), contextlib.redirect_stdout(said):
            assert catalog.main([*words, "--json"]) == 0
        return json.loads(said.getvalue())

    def git(self, *arguments: str) -> str:
        """What a git command, which has to succeed, writes."""
        return self.run("git", *arguments, check=True).out.strip()


@pytest.fixture(scope="session")
def clean_env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment variables for commands: a home, a git identity and a Jupyter of their own, and the usual uv cache.

    One home serves the whole session, so that a cache such as Matplotlib's is filled once.
    """
    uv = os.environ.get("UV") or shutil.which("uv") or shutil.which("uv", path=str(ROOT / ".tools" / "bin"))
    if uv is None:
        pytest.fail("uv is not installed: use `make test`, or put uv on the PATH")
    # The program itself: pyenv's shim of it is none in a project whose .python-version has no uv.
    asking = "import os; print(os.environ['UV'])"
    command = [uv, "run", "--no-project", sys.executable, "-c", asking]
    uv = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    home = tmp_path_factory.mktemp("home")
    identity = home / "gitconfig"
    identity.write_text(
        "[user]\n\tname = Ada Tester\n\temail = ada@example.org\n[init]\n\tdefaultBranch = main\n"
    )

    foreign = (
        "COPIER_",
        "CONDA_",
        "DERIVA_",
        "GIT_",
        "IPYTHON",
        "JPY_",
        "JUPYTER",
        "PYTEST_",
        "PYTHON",
        "XDG_",
        "VIRTUAL_ENV",
    )
    env = {name: value for name, value in os.environ.items() if not name.startswith(foreign) or "SSL" in name}
    for name, command in {"UV_CACHE_DIR": "cache", "UV_PYTHON_INSTALL_DIR": "python"}.items():
        env[name] = subprocess.run(
            [uv, command, "dir"], check=True, capture_output=True, text=True
        ).stdout.strip()
    if (machine := Path.home() / ".config" / "uv").is_dir():  # such as a registry's mirror
        shutil.copytree(machine, home / ".config" / "uv")
    env |= {
        "HOME": str(home),
        "GIT_CONFIG_GLOBAL": str(identity),
        "GIT_CONFIG_NOSYSTEM": "1",
        "UV": uv,
        "UV_PYTHON": os.path.realpath(sys._base_executable),  # type: ignore[attr-defined]
        "PATH": os.pathsep.join([str(Path(uv).parent), env["PATH"]]),
        "NO_COLOR": "1",
        "COLUMNS": "200",
    }
    return env


Render = Callable[..., Path]

STRANGE = {
    "project_name": 'He said "hi", C:\\new\\table <script> {{ 7 * 7 }} # 数字 👩🏽\u200d🔬 שלום',
    "project_description": "key: value # 'quoted' [x] {y} | `tick` $(id) ${HOME} \\",
    "user_name": '"Ada" O\'Neil, PhD',
    "user_email": "ada.o'neil+ml@example.org",
    "github_user": "ada-l",
    "deriva_hostname": "www.example.org:8443",
}
"""Answers with what means something to one of the formats or programs that they go through."""


@pytest.fixture(scope="session")
def render(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Render]:
    """``render(destination, **answers)``: a project as `copier copy --defaults` makes it, without any trust.

    The person's own Copier settings play no part.
    """
    settings = tmp_path_factory.mktemp("copier") / "settings.yml"
    settings.write_text("{}\n")

    def render(destination: Path, *, template: Path = ROOT, **answers: Any) -> Path:
        options: dict[str, Any] = {"defaults": True, "quiet": True, "unsafe": False}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DirtyLocalWarning)
            copier.run_copy(str(template), destination, answers, vcs_ref="HEAD", **options)
        return destination

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COPIER_SETTINGS_PATH", str(settings))
        yield render


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template as a folder that is not a git repository, as a download has it."""
    folder = tmp_path_factory.mktemp("plain")
    caches = shutil.ignore_patterns("__pycache__", ".*_cache")
    shutil.copy(ROOT / "copier.yml", folder)
    for name in ("extensions", "template"):
        shutil.copytree(ROOT / name, folder / name, ignore=caches)
    return folder


@pytest.fixture(scope="session")
def slim(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template without the runner, whose files no answer changes, so that rendering it often takes little time."""
    folder = tmp_path_factory.mktemp("slim")
    shutil.copytree(plain, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("deriva_ml"))
    return folder


@pytest.fixture(scope="session")
def sketch(render: Render, slim: Path) -> Render:
    """``sketch(destination, **answers)``: a project without the runner; quicker."""
    return functools.partial(render, template=slim)


@pytest.fixture(scope="session")
def rendered(render: Render, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the default answers. Tests read it and leave it as it is."""
    return render(tmp_path_factory.mktemp("rendered") / "my-project")


@pytest.fixture(scope="session")
def synced(
    render: Render, clean_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> ProjectFolder:
    """A project with its environment installed and `deriva-ml-init` run. Tests read it and leave it as it is.

    One worker makes it, from nothing, and what its runs import is compiled; the others use it as well.
    """
    alone = "PYTEST_XDIST_WORKER" not in os.environ
    folder = tmp_path_factory.getbasetemp() if alone else tmp_path_factory.getbasetemp().parent
    path, made = folder / "synced" / "my-project", folder / "synced.made"
    project = ProjectFolder(path, clean_env)
    with (folder / "synced.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            if path.exists():
                pytest.fail(f"{path} could not be made: see the test of the other worker")
            render(path, python_version=f"3.{min(sys.version_info.minor, 14)}")
            project.run("uv", "sync", "--quiet", check=True, timeout=600)
            project.run("uv", "run", "deriva-ml-init", check=True)
            trial = _private_copy(project, folder / "synced" / "trial")
            trial.run("deriva-ml-run-notebook", "notebooks/my_analysis.ipynb", "dry_run=true", check=True)
            trial.run("deriva-ml-run", "model_config=quick", "dry_run=true", check=True)
            shutil.rmtree(trial)
            project.run("python", "-m", "compileall", "-q", "src", check=True)
            made.touch()
    return project


OFFLINE = {"UV_OFFLINE": "1"}
"""With which uv goes by what it has fetched, such as for ``synced``: to ask a registry anew takes half a minute."""


def lock(project: ProjectFolder) -> None:
    """Give a new project its `uv.lock`, from what has been fetched if that will do."""
    if project.run("uv", "lock", "--quiet", env=OFFLINE).rc:
        project.run("uv", "lock", "--quiet", check=True)


def on_environment_of(synced: ProjectFolder, folder: Path) -> dict[str, str]:
    """Environment variables with which a project in ``folder`` runs on what is installed for ``synced``, as it is.

    The editable install there names the source folder of ``synced``; PYTHONPATH, which comes before it, this one's.
    """
    shared = {"UV_PROJECT_ENVIRONMENT": str(synced / ".venv"), "UV_NO_SYNC": "1"}
    return {**synced.env, **shared, "PYTHONPATH": str(folder / "src")}


@pytest.fixture(scope="session")
def furnish(synced: ProjectFolder) -> Callable[[Path], Path]:
    """``furnish(folder)``: make ``folder`` an environment with what ``synced`` has installed, but for the project itself.

    It is as private as one that uv makes there, which takes some ten seconds with the first import of every package;
    `uv sync` brings what is still missing, and takes away what is too much.
    """
    environment = synced / ".venv"

    def no_kernels(folder: str, names: list[str]) -> set[str]:
        """Those of projects, which start the interpreter that is copied."""
        return set(names) - {"python3"} if folder.endswith("/share/jupyter/kernels") else set()

    def furnish(folder: Path) -> Path:
        shutil.copytree(environment, folder, symlinks=True, ignore=no_kernels, copy_function=_link)
        for path in folder.joinpath("bin").iterdir():
            if path.is_symlink() or str(environment).encode() not in (content := path.read_bytes()):
                continue
            path.unlink()  # what is written must not reach the file of the same content
            path.write_bytes(content.replace(str(environment).encode(), str(folder).encode()))
            path.chmod(0o755)
        synced.run("uv", "pip", "uninstall", "--quiet", "--python", str(folder), synced.path.name, check=True)
        return folder

    return furnish


def _link(source: str, target: str) -> None:
    """Give a file a second name where that can be: it is read, or replaced as a whole."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


@pytest.fixture(scope="session")
def copy_to(synced: ProjectFolder) -> Callable[[Path], ProjectFolder]:
    """``copy_to(folder)``: a private copy of ``synced``, history and catalog included, to change freely.

    It runs on the environment of ``synced``.
    """

    return functools.partial(_private_copy, synced)


@pytest.fixture
def project_copy(copy_to: Callable[[Path], ProjectFolder], tmp_path: Path) -> Callable[..., ProjectFolder]:
    """``project_copy(destination=None)``: such a copy for one test, by default in its own temporary folder."""
    return lambda destination=None: copy_to(destination or tmp_path / "my-project")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The machine's Chromium, without a window.

    Ended with the module: Playwright lets a process start it once at a time, and leaves it no event loop meanwhile.
    """
    from playwright.sync_api import expect

    from browser import NAMES, browser, find_browser

    if find_browser() is None:
        pytest.skip(f"no browser on this machine (looked for {', '.join(NAMES)})")

    expect.set_options(timeout=30_000)  # ms: other tests may keep the machine busy
    with browser() as program:
        yield program


def refresh_index(project: ProjectFolder) -> None:
    """Let git see that nothing changed in a copy, whose files have other times.

    The notebooks of a new project are as they are committed, so that git need not start the filter for each. Of one
    that is not, it will, whenever it is asked what changed.
    """
    project.run("git", "-c", "filter.nbstripout.clean=cat", "update-index", "--refresh")


def _private_copy(synced: ProjectFolder, target: Path) -> ProjectFolder:
    shutil.copytree(synced.path, target, symlinks=True, ignore=_not_copied)
    project = ProjectFolder(target, on_environment_of(synced, target))
    refresh_index(project)
    return project


def _not_copied(folder: str, names: list[str]) -> set[str]:
    """Not what is compiled: it is as good in a copy, whose sources have the same times."""
    return {".venv", ".pytest_cache", ".ruff_cache"}.intersection(names)
