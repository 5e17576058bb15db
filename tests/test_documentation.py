"""README.md and docs/: every command can be typed, every link leads somewhere."""

import concurrent.futures
import configparser
import dataclasses
import json
import pathlib
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest
import test_architecture

import kerascale as ks
from kerascale.cli import COMMANDS

ROOT = pathlib.Path(__file__).parent.parent
README = ROOT / "README.md"
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [README, *DOCS, ROOT / "tests" / "benchmarks" / "README.md"]

README_BYTES = 9_216
DOCS_BYTES = 12_000

# Marks before a block; a reader of the page does not see them.
RUN = "run, in this order"
COMPLETE = "complete"

_FENCE = re.compile(
    r"(?:^<!-- (?P<mark>[^\n]*) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_UNKNOWN = "--no-such-flag"

# Reads lists of arguments from standard input and answers with the exit code and
# standard error of each. A flag that does not exist is among them: they are refused
# before anything is done, and every other mistake in them is named as well.
_REFUSED = """
import contextlib, io, json, sys
sys.path.insert(0, sys.argv[1])
from kerascale.cli import main as kerascale
from tests.benchmarks.__main__ import main as benchmarks

answers = []
for program, arguments in json.load(sys.stdin):
    output = io.StringIO()
    with contextlib.redirect_stderr(output), contextlib.redirect_stdout(io.StringIO()):
        try:
            main = kerascale if program == "kerascale" else benchmarks
            code = main(arguments)
        except SystemExit as stop:
            code = stop.code or 0
    answers.append((code, output.getvalue().strip()))
print(json.dumps(answers))
"""


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    language: str
    text: str
    mark: str | None


def _name(page):
    return str(page.relative_to(ROOT))


def _blocks(page):
    return [
        Block(_name(page), found["language"], found["text"], found["mark"])
        for found in _FENCE.finditer(page.read_text())
    ]


BLOCKS = [block for page in PAGES for block in _blocks(page)]


def _lines(block):
    """The shell's commands in a block: a line each, or several that belong together."""
    lines = block.text.splitlines()
    if block.language == "console":
        yield from (line.removeprefix("$ ") for line in lines if line.startswith("$ "))
        return
    kept = ""
    for line in lines:
        kept += line
        try:
            is_whole = not kept.endswith(("\\", "|"))
            shlex.split(kept, comments=True)
        except ValueError:  # A quotation that goes on.
            is_whole = False
        if is_whole:
            yield kept
        kept = "" if is_whole else f"{kept.removesuffix(chr(92))}\n"
    assert not kept, f"{block.page}: not a whole command: {kept}"


def _programs(line):
    """The programs of a line, such as `a | b && c`: environment and arguments."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&")
    lexer.whitespace_split = True
    words = [[]]
    for token in lexer:
        if token in ("|", "&&"):
            words.append([])
        else:
            words[-1].append(token)
    for program in filter(None, words):
        environment = {}
        while re.match(r"[A-Z_]+=", program[0]):
            name, _, environment[name] = program.pop(0).partition("=")
        yield environment, program


def _in_blocks():
    for block in BLOCKS:
        if block.language in ("console", "sh"):
            for line in _lines(block):
                for environment, program in _programs(line):
                    yield block.page, environment, program


def _in_sentences():
    """Commands within the text, but those with a placeholder, such as RECIPE."""
    for page in PAGES:
        for text in _SPAN.findall(_FENCE.sub("", page.read_text())):
            if re.match(r"(kerascale|pytest|python -m|pip install) ", text):
                if not re.search(r"\b[A-Z]+\b(?!,)", text):
                    yield from ((_name(page), *found) for found in _programs(text))


USED = [*_in_blocks(), *_in_sentences()]


def _arguments():
    """(page, program, arguments, whether it is refused) of commands of our own."""
    for page, _, program in USED:
        if program[:3] == ["python", "-m", "tests.benchmarks"]:
            yield page, "benchmarks", [*program[3:], _UNKNOWN], True
        elif program[0] == "kerascale" and "--help" in program:
            yield page, "kerascale", program[1:], False
        elif program[0] == "kerascale" and len(program) == 2:
            # Named rather than typed: what stands behind it is left out.
            yield page, "kerascale", [program[1], "--help"], False
        elif program[0] == "kerascale":
            own, dashes, launched = _split(program[1:])
            yield page, "kerascale", [*own, _UNKNOWN, *dashes, *launched], True
            if launched:
                yield page, "kerascale", [*launched, _UNKNOWN], True


def _split(arguments):
    if "--" not in arguments:
        return arguments, [], []
    place = arguments.index("--")
    return arguments[:place], ["--"], arguments[place + 1 :]


def test_the_two_commands_of_the_readme():
    (first, *_) = (block for block in _blocks(README) if block.language == "sh")
    assert first.text.splitlines() == [
        "pip install . && kerascale train mlp",
        'pip install -e ".[dev]" && pytest',
    ]


def test_rooms_are_those_that_there_are():
    """In their order: `test_architecture.py` holds the imports to the same one."""
    _, _, text = README.read_text().partition("## How it is built")
    (rooms, *_) = re.findall(r"^```text\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert re.findall(r"^(\w+)/  +\S", rooms, re.MULTILINE) == test_architecture.ROOMS
    for name in re.findall(r"`([\w/]+(?:\.py|/))`", text.partition("|---|")[2]):
        is_above = name.startswith(("recipes/", "data/", "docs/"))
        assert (ROOT / name if is_above else ROOT / "kerascale" / name).exists(), name


def test_pages_are_short():
    assert README.stat().st_size <= README_BYTES
    sizes = {page.name: page.stat().st_size for page in DOCS}
    assert {name: n for name, n in sizes.items() if n >= DOCS_BYTES} == {}


def test_every_page_is_in_the_index():
    index = (ROOT / "docs" / "README.md").read_text()
    missing = [page.name for page in DOCS if f"({page.name})" not in index]
    assert missing in ([], ["README.md"])


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_to_files(page):
    for link in _LINK.findall(_FENCE.sub("", page.read_text())):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = page if not path else (page.parent / path).resolve()
        assert target.is_file(), f"{_name(page)}: {link}"
        assert target.is_relative_to(ROOT)
        if anchor:
            heads = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
            anchors = [re.sub(r"[^\w -]", "", head.lower()) for head in heads]
            assert anchor in [head.replace(" ", "-") for head in anchors], link


def test_commands_are_accepted_by_the_command_line(tmp_path):
    # What the pages suppose to be there: a recipe of one's own, and a run.
    (recipe,) = (b for b in BLOCKS if b.mark == f"{COMPLETE}: linear.py")
    (tmp_path / "linear.py").write_text(recipe.text)
    run = tmp_path / "runs" / "mlp" / "1"
    run.mkdir(parents=True)
    (run / "config.json").write_text("{}")
    used = list(_arguments())
    finished = subprocess.run(
        [sys.executable, "-c", _REFUSED, str(ROOT)],
        input=json.dumps([(program, arguments) for _, program, arguments, _ in used]),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    problems = []
    answers = json.loads(finished.stdout)
    for (page, program, arguments, is_refused), (code, text) in zip(
        used, answers, strict=True
    ):
        if not is_refused:
            is_fine = code == 0
        elif program == "benchmarks":
            is_fine = text.endswith(f"error: unrecognized arguments: {_UNKNOWN}")
        else:
            # The one problem: it stands in one line, a second one would be listed.
            alone = f"kerascale {arguments[0]}: {_UNKNOWN}: no such flag."
            is_fine = code == 2 and "\n" not in text and text.startswith(alone)
        if not is_fine:
            problems.append(f"{page}: {shlex.join(arguments)}: {text}")
    assert not problems, "\n".join(problems)


def test_every_command_is_documented():
    named = {program[1] for _, _, program in USED if program[0] == "kerascale"}
    assert set(COMMANDS) <= named


@pytest.mark.parametrize(
    ("page", "environment", "program"),
    [pytest.param(*used, id=f"{used[0]}: {shlex.join(used[2])[:50]}") for used in USED],
)
def test_other_commands_are_in_order(page, environment, program):
    """What is no command of our own is looked at as far as it can be, and not run."""
    if "TF_CONFIG" in environment:
        assert set(json.loads(environment["TF_CONFIG"])) == {"cluster", "task"}
    name, *arguments = program
    if name == "pip":
        setup = configparser.ConfigParser()
        setup.read(ROOT / "setup.cfg")
        assert arguments[0] == "install"
        for extra in re.findall(r"\[([\w-]+)\]", arguments[-1]):
            assert extra in setup["options.extras_require"]
    elif name == "pytest":
        for path in (argument for argument in arguments if "/" in argument):
            assert (ROOT / path).exists()
    elif name == "python3":
        compile(arguments[arguments.index("-c") + 1], page, "exec")
    elif name == "curl":
        body = arguments[arguments.index("-d") + 1]
        assert body == "@-" or json.loads(body)
    else:
        # Looked at by another test, or somebody else's program.
        of_search = (".killed_searches", ".searching", ".tables")
        names = (
            "",
            ".attacking",
            ".compressing",
            ".everyday",
            ".pair_starts",
            ".quantizing",
            *of_search,
        )
        modules = ["tests.planted", *(f"tests.benchmarks{name}" for name in names)]
        is_module = program[:2] == ["python", "-m"] and program[2] in modules
        ours = name == "kerascale" or is_module
        assert ours or name in ("docker", "kubectl", "prometheus", "srun")


@pytest.mark.parametrize(
    "block",
    [block for block in BLOCKS if block.language == "python"],
    ids=lambda block: block.page,
)
def test_python_compiles(block):
    compile(block.text, block.page, "exec")


def test_marks_are_known():
    marks = {block.mark for block in BLOCKS} - {None}
    assert marks == {RUN, COMPLETE, f"{COMPLETE}: linear.py"}


def test_the_commands_of_the_readme_run(kerascale, tmp_path):
    """In a folder with nothing but new.npz: images as those of the training."""
    (chain,) = (block for block in BLOCKS if block.mark == RUN)
    np.savez(tmp_path / "new.npz", x=np.zeros((3, 8, 8, 1), np.uint8))
    train, *between, versions = _lines(chain)

    def run(line):
        ((environment, program),) = _programs(line)
        assert not environment
        finished = kerascale(*program[1:])
        assert finished.returncode == 0, f"{line}\n{finished.stderr}"
        return finished.stderr

    run(train)
    assert len(between) == 4
    with concurrent.futures.ThreadPoolExecutor(2) as pool:  # They only read the run.
        list(pool.map(run, between))
    assert "stable" in run(versions)
    assert (tmp_path / "runs/mlp/1/report.html").is_file()
    assert len((tmp_path / "answers.csv").read_text().splitlines()) == 4
    assert (tmp_path / "served/mlp/1/saved_model.pb").is_file()


def test_complete_python_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for block in BLOCKS:
        if block.mark == COMPLETE:
            exec(compile(block.text, block.page, "exec"), {})
    assert (tmp_path / "served/mine/1/saved_model.pb").is_file()


def test_the_recipe_of_the_documentation_runs(tmp_path):
    path = tmp_path / "linear.py"
    (recipe,) = (b for b in BLOCKS if b.mark == f"{COMPLETE}: linear.py")
    path.write_text(recipe.text)
    run = ks.train(ks.load_recipe(str(path)), fast_dev_run=True)
    assert np.isfinite(run.metrics["loss"])
