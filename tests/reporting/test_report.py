"""`kerascale report` and `kerascale compare`: what a person sees of finished runs."""

import base64
import html.parser
import io
import json
import re
import shutil
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest

import kerascale as ks
from kerascale import reporting
from kerascale.cli import main
from kerascale.config import provenance
from kerascale.errors import RefusedError, StoppedError
from kerascale.reporting import figures, mistakes, page
from kerascale.reporting.drawing import PAGE, PAPER
from kerascale.runs import step_losses, timeline
from kerascale.training import build

SECTIONS = "results curves mistakes model configuration data versions timeline".split()
# Every class name and word that could break out of a page, a figure, or its text.
HOSTILE = ('<script>alert("1")</script>', "$\\frac{$ & </svg> --> ]]>")
_VOID = {"meta", "img", "br", "path", "use", "rect"}


class Parsed(html.parser.HTMLParser):
    """A page as a browser would see it: tags, text, what it would load."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.words, self.links, self.ids = [], [], [], [], []
        self.unbalanced = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self._see(tag, dict(attrs))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self._see(tag, dict(attrs))

    def _see(self, tag, attributes):
        self.tags.append(tag)
        names = ("src", "href", "xlink:href", "srcset", "action", "data", "poster")
        self.links += [attributes[name] for name in names if name in attributes]
        if "id" in attributes:
            self.ids.append(attributes["id"])

    def handle_endtag(self, tag):
        if tag in _VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Some small runs: of one seed, of it again, of another, of another rate."""
    folder = tmp_path_factory.mktemp("reported")
    recipe = ks.load_recipe("mlp")
    plain = {"epochs": 3, "units": (8,), "learning_rate": 0.01}
    for name, changed in {
        "first": {},
        "again": {},
        "seed": {"seed": 1},
        "rate": {"learning_rate": 0.02},
        "longer": {"epochs": 4},
    }.items():
        config = recipe.Config(**{**plain, **changed})
        ks.train(recipe, config, run_dir=folder / name)
    return folder


@pytest.fixture(scope="module")
def reported(folder):
    """The page of the first run, made by the command."""
    assert main(["report", str(folder / "first"), "--png", str(folder / "png")]) == 0
    return (folder / "first" / "report.html").read_text()


def _assert_whole(text):
    """A page that is well formed and needs nothing but itself."""
    parsed = Parsed(text)
    assert not parsed.unbalanced
    assert not parsed.open
    assert len(parsed.ids) == len(set(parsed.ids))
    assert not {"script", "link", "iframe", "object", "base"} & set(parsed.tags)
    assert all(
        link.startswith(("data:image/png;base64,", "#")) for link in parsed.links
    )
    assert {link[1:] for link in parsed.links if link[0] == "#"} <= set(parsed.ids)
    assert not re.search(r"https?:|@import|url\((?!#)", text)
    return parsed


def _section(text, name):
    return re.search(rf'<section id="{name}">.*?</section>', text, re.S)[0]


def test_the_page_is_whole_and_has_every_section(reported):
    parsed = _assert_whole(reported)
    assert {*SECTIONS, "classes"} <= set(parsed.ids)
    assert "prefers-color-scheme: dark" in reported
    assert 'content="width=device-width' in reported
    # No colour of a figure is fixed: it would be unreadable on a dark screen.
    drawn = "".join(re.findall(r"<svg.*?</svg>", reported, flags=re.S))
    assert not re.search(r"(fill|stroke): ?(#|black|white)", drawn)
    assert not any(color in reported for color in (PAGE.ink, *PAGE.series))


def test_the_page_shows_the_run(reported, folder):
    text = Parsed(reported).text
    evaluation = json.loads((folder / "first" / "evaluation.json").read_text())
    assert f"accuracy {evaluation['accuracy']:.4f}" in text
    for name, row in evaluation["per_class"].items():
        numbers = " ".join(f"{row[n]:.3f}" for n in ("precision", "recall", "f1"))
        assert f"{name} {numbers} {row['examples']}" in text
    for row in evaluation["confusion_matrix"]:
        for count in filter(None, row):
            assert re.search(rf"<text[^>]*>{count}</text>", reported)
    run = ks.load_run(folder / "first")
    assert f"{run.model.count_params():,} parameters" in text
    assert run.info.fingerprint in text
    assert "keras 3.15" in text
    assert "started" in text
    assert "finished" in text


def test_where_each_value_came_from(kerascale, tmp_path):
    (tmp_path / "fields.json").write_text('{"l2": 1e-4, "epochs": 9}')
    command = "train mlp --epochs 1 --config fields.json --run-dir run --l1=0"
    finished = kerascale(*command.split())
    assert finished.returncode == 0, finished.stderr
    told = json.loads((tmp_path / "run" / "config.json").read_text())["origins"]
    assert told["epochs"] == told["l1"] == "command line"
    assert told["l2"] == "file"
    assert told["units"] == "recipe"
    assert told["batch_size"] == "default"
    (event, *_, last) = reporting.read(tmp_path / "run").events
    assert (event["event"], event["step"], last["event"]) == ("started", 0, "finished")


def test_origins_of_a_configuration_made_in_python(recipe, folder):
    asked = recipe.Config(epochs=2)
    assert provenance.find(asked, asked)["epochs"] == "Python"
    assert provenance.find(asked, asked)["seed"] == "default"
    chosen = recipe.Config(epochs=2, execution="fixed", steps_per_execution=1)
    found = provenance.find(asked, chosen, {"epochs": "command line"})
    assert found["execution"] == found["steps_per_execution"] == "automatic"
    told = recipe.Config(steps_per_execution=4)
    chosen = recipe.Config(steps_per_execution=4, execution="fixed")
    found = provenance.find(told, chosen)
    assert found["execution"] == "automatic"
    assert found["steps_per_execution"] == "Python"
    assert reporting.read(folder / "first").origins["units"] == "Python"


def test_the_worst_mistakes_are_those_with_the_largest_loss(reported, folder):
    run = ks.load_run(folder / "first")
    source = build.make_datasets(ks.load_recipe("mlp"), run.config).test
    batches = list(source.for_evaluation().dataset())
    x = np.concatenate([batch[0] for batch in batches])
    labels = np.concatenate([batch[1] for batch in batches])
    outputs = run.model.predict(x, verbose=0)
    wrong = np.flatnonzero(outputs.argmax(-1) != labels)
    assert len(wrong) > 12
    worst = wrong[np.argsort(outputs[wrong, labels[wrong]], kind="stable")][:12]
    section = _section(reported, "mistakes")
    shown = re.findall(r"example (\d+)</small>", section)
    assert list(map(int, shown)) == worst.tolist()
    first = worst[0]
    text = Parsed(section).text
    assert f"is {labels[first]} , taken for {outputs[first].argmax()}" in text
    picture = base64.b64decode(re.search(r"base64,([^\"]+)", section)[1])
    pixels = np.asarray(PIL.Image.open(io.BytesIO(picture)), float)
    seen = x[first, ..., 0].astype(float)
    np.testing.assert_allclose(pixels / 255, seen / x.max(), atol=0.01)


def test_png_figures(reported, folder):
    names = {path.stem for path in (folder / "png").iterdir()}
    assert names == {
        "confusion-matrix",
        "curve-accuracy",
        "curve-learning-rate",
        "curve-loss",
        "time",
    }
    for path in (folder / "png").iterdir():
        with PIL.Image.open(path) as image:
            assert image.format == "PNG"
            # Something is drawn on white.
            assert image.convert("L").getextrema()[0] < 100
            assert image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)


def test_lines_can_be_told_apart_without_colours(folder):
    runs = [reporting.read(folder / "first") for _ in range(8)]
    for drawing in [
        *figures.curves_of(runs[0]),
        *figures.curves_over_each_other(runs, "ABCDEFGH"),
    ]:
        lines = drawing.draw(PAPER).axes[0].lines
        ways = [(line.get_linestyle(), line.get_marker()) for line in lines]
        assert len(set(ways)) == len(ways)
        labels = [line.get_label() for line in lines]
        assert len(set(labels)) == len(labels)


def test_the_same_run_gives_the_same_page(reported, folder):
    assert main(["report", str(folder / "first")]) == 0
    assert (folder / "first" / "report.html").read_text() == reported


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A run on features and classes with names that could break a page."""
    folder = tmp_path_factory.mktemp("hostile")
    generator = np.random.default_rng(0)
    rows = ["a<b>,c&d,label"]
    for i in range(120):
        x, y = generator.normal(size=2)
        # Half of them say nothing: there will be mistakes.
        name = HOSTILE[i % 2].replace('"', '""')
        rows.append(f'{x + (i % 4 == 1):.3f},{y:.3f},"{name}"')
    (folder / "data.csv").write_text("\n".join(rows) + "\n")
    recipe = ks.load_recipe("mlp")
    config = recipe.Config(
        dataset=f"csv:{folder / 'data.csv'}", label="label", epochs=1, units=(4,)
    )
    ks.train(recipe, config, run_dir=folder / "run")
    return folder


def test_all_text_is_escaped(hostile, tmp_path):
    output = tmp_path / "page.html"
    assert main(["report", str(hostile / "run"), "--output", str(output)]) == 0
    parsed = _assert_whole(output.read_text())
    for name in HOSTILE:
        assert name in parsed.text
    assert "a<b> =" in parsed.text
    assert "c&d =" in parsed.text
    compared = tmp_path / "compared.html"
    run = str(hostile / "run")
    assert main(["compare", run, run, "--html", str(compared)]) == 0
    _assert_whole(compared.read_text())


def test_data_that_has_changed_is_said_and_the_rest_is_shown(hostile, tmp_path, capfd):
    file = hostile / "data.csv"
    before = file.read_text()
    output = tmp_path / "page.html"
    try:
        for content, reason in (
            (before.replace("0.1", "0.2"), "Bring the data back."),
            (None, "data.csv"),
        ):
            if content is None:
                file.unlink()
            else:
                file.write_text(content)
            assert main(["report", str(hostile / "run"), "--output", str(output)]) == 0
            said = capfd.readouterr().err
            assert "no mistakes are shown" in said
            parsed = _assert_whole(output.read_text())
            assert "Not shown." in parsed.text
            assert "precision" in parsed.text
            assert reason in said
            assert reason in Parsed(_section(output.read_text(), "mistakes")).text
    finally:
        file.write_text(before)


def test_a_run_that_has_not_finished(folder, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(folder / "first", run)
    (run / "evaluation.json").unlink()
    assert main(["report", str(run)]) == 0
    parsed = _assert_whole((run / "report.html").read_text())
    assert set(SECTIONS) <= set(parsed.ids)
    assert "has not finished: 3 epochs are recorded" in parsed.text
    (run / "metrics.jsonl").unlink()
    assert main(["report", str(run)]) == 0
    parsed = _assert_whole((run / "report.html").read_text())
    assert "No epoch was trained" in parsed.text


@pytest.mark.slow
def test_a_language_model(tmp_path):
    text = "The quick brown fox jumps over the lazy dog; <b>so</b> it goes.\n" * 80
    (tmp_path / "text.txt").write_text(text + "QZXJ & <i>QQQ</i> zzz\n" * 15)
    recipe = ks.load_recipe("language_model")
    config = recipe.Config(
        dataset=f"text:{tmp_path / 'text.txt'}",
        epochs=1,
        width=8,
        num_heads=2,
        num_layers=1,
        max_length=16,
    )
    run = ks.train(recipe, config, run_dir=tmp_path / "run")
    output = tmp_path / "page.html"
    assert main(["report", str(tmp_path / "run"), "--output", str(output)]) == 0
    written = output.read_text()
    parsed = _assert_whole(written)
    assert f"perplexity {run.metrics['perplexity']:.4f}" in parsed.text
    assert "The hardest texts" in parsed.text
    assert "classes" not in parsed.ids
    nats = [float(n) for n in re.findall(r"([0-9.]+) nats per character", written)]
    assert nats == sorted(nats, reverse=True)
    assert nats[0] >= run.metrics["loss"]
    datasets, source = mistakes.open_split(run, "test")
    assert datasets.info.fingerprint == run.info.fingerprint
    hardest = mistakes.hardest(run, source)[0]
    # What the training text lacks cannot be told: any character may stand there.
    pattern = "".join(
        "." if character == "\ufffd" else re.escape(character)
        for character, _ in hardest.characters
    )
    assert re.search(pattern, (tmp_path / "text.txt").read_text(), re.S)
    # And it is the one with the largest loss.
    x, labels = (np.concatenate(each) for each in zip(*source.dataset(), strict=True))
    given = np.take_along_axis(run.model.predict(x, verbose=0), labels[..., None], -1)
    losses = -np.log(given[..., 0]).mean(axis=-1)
    assert hardest.number == losses.argmax()
    assert hardest.nats == pytest.approx(losses.max(), rel=1e-4)
    marks = [surprising for _, surprising in hardest.characters[1:]]
    assert marks == (given[hardest.number, :, 0] < 0.01).tolist()


def test_the_timeline_of_what_happens_to_a_run(tmp_path, monkeypatch, capfd):
    with timeline.recorded(tmp_path, 0):
        pass
    with pytest.raises(StoppedError), timeline.recorded(tmp_path, 4):
        raise StoppedError(7)
    monkeypatch.setenv("KERASCALE_RESTARTED_IN", str(tmp_path))
    with pytest.raises(RuntimeError), timeline.recorded(tmp_path, 7):
        raise RuntimeError("the disk is gone")
    with open(tmp_path / "timeline.jsonl", "a") as file:
        file.write('{"time": "2026-0')  # A kill has cut it short.
    events = timeline.read(tmp_path)
    assert [(event["event"], event.get("step")) for event in events] == [
        ("started", 0),
        ("finished", None),
        ("resumed", 4),
        ("stopped on request", 7),
        ("started again", 7),
        ("failed", None),
        ("unreadable", None),
    ]
    assert events[5]["reason"] == "the disk is gone"
    times = [event["time"] for event in events[:-1]]
    assert times == sorted(times)
    # A run does not end because its timeline cannot be written.
    with timeline.recorded(tmp_path / "nowhere", 0):
        pass
    assert "cannot be written (No such file or directory)" in capfd.readouterr().err


def test_many_classes(folder):
    recorded = reporting.read(folder / "first")
    for count, is_drawn in ((30, True), (61, False)):
        names = [f"a long name of class {i}" for i in range(count)]
        row = {"precision": 1.0, "recall": 1.0, "f1": 1.0, "examples": 3}
        recorded.evaluation.update(
            per_class=dict.fromkeys(names, row),
            confusion_matrix=np.diag([3] * count).tolist(),
        )
        drawing = figures.confusion_of(recorded)
        assert (drawing is not None) is is_drawn
        text = page.render(recorded, reporting.model_findings.Findings(missing="none"))
        assert ("too large to be looked at" in text) is not is_drawn
        folded = f"<summary>Precision, recall and F1 of {count} classes</summary>"
        assert (folded in text) == (count > 50)
        _assert_whole(text)


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (["report"], ["expected RUN. Received: nothing"]),
        (["report", "nowhere"], ["folder of a finished run", "nowhere"]),
        (["report", "RUN", "--outptu", "x"], ["Did you mean --output?"]),
        (
            ["report", "RUN", "--output", "no/x.html", "--png", "no/where"],
            ["2 problems", "no/x.html", "no/where"],
        ),
        (["report", "RUN", "--output", "precious.html"], ["is something else"]),
        (["report", "RUN", "--png", "precious.html"], ["--png: expected a folder"]),
        (["compare", "RUN"], ["expected RUN. Received"]),
        (["compare", "nowhere", "gone"], ["2 problems", "nowhere", "gone"]),
        (["compare", *["RUN"] * 9], ["expected 2 to 8 runs. Received: 9"]),
        (
            ["compare", "RUN", "gone", "--html", "precious.html"],
            ["2 problems", "gone", "precious.html"],
        ),
    ],
    ids=lambda value: " ".join(value)[:50],
)
def test_bad_input_is_refused_before_anything_is_written(
    folder, tmp_path, monkeypatch, capfd, arguments, messages
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "precious.html").write_text("<!doctype html> mine")
    run = folder / "again"
    before = sorted(run.rglob("*"))
    arguments = [str(run) if each == "RUN" else each for each in arguments]
    assert main(arguments) == 2
    said = " ".join(capfd.readouterr().err.split())
    for message in messages:
        assert message in said
    assert [path.name for path in tmp_path.iterdir()] == ["precious.html"]
    assert (tmp_path / "precious.html").read_text() == "<!doctype html> mine"
    assert sorted(run.rglob("*")) == before


def test_a_damaged_record_is_refused(folder, tmp_path, capfd):
    run = tmp_path / "run"
    shutil.copytree(folder / "first", run)
    whole = (run / "metrics.jsonl").read_text()
    (run / "metrics.jsonl").write_text(whole[: len(whole) // 2])
    assert main(["report", str(run)]) == 2
    assert "metrics.jsonl is damaged (line 2" in capfd.readouterr().err


def test_the_extra_is_named_where_its_packages_are_missing(folder):
    code = (
        "import importlib.abc, importlib.util, sys\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = "
        "lambda name, *rest: None if name == 'matplotlib' else find(name, *rest)\n"
        "from kerascale.cli import main\n"
        "run = sys.argv[1]\n"
        "assert main(['compare', run, run]) == 0\n"
        "assert main(['compare', run, run, '--html', 'x.html']) == 2\n"
        "sys.exit(main(['report', run]))\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code, str(folder / "again")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 2, finished.stderr
    message = "Received: no matplotlib. Run: pip install 'kerascale[report]'"
    assert finished.stderr.count(message) == 2


def _compare(capfd, *runs):
    capfd.readouterr()
    assert main(["compare", *map(str, runs), "--json"]) == 0
    out, err = capfd.readouterr()
    result = json.loads(out.splitlines()[-1])
    assert result["verdict"] in " ".join(err.split())
    return result


def test_identical_runs(folder, capfd):
    result = _compare(capfd, folder / "first", folder / "again")
    assert result["identical"] is True
    assert result["differences"] == []
    assert "The runs are identical" in result["verdict"]


@pytest.mark.parametrize(
    ("other", "field", "values"),
    [("seed", "seed", [0, 1]), ("rate", "learning_rate", [0.01, 0.02])],
)
def test_one_field_that_differs_is_named(folder, capfd, other, field, values):
    result = _compare(capfd, folder / "first", folder / other)
    assert result["identical"] is False
    told = [each for each in result["differences"] if each["about"] != "chosen"]
    assert told == [{"about": "field", "name": field, "values": values}]
    assert f"differ in one thing: the field {field} " in result["verdict"]
    (parting,) = result["partings"]
    assert (parting["epoch"], parting["by_step"]) == (1, 36)
    # Other weights, or other examples, from the first step; another rate from then on.
    step = {"seed": 1, "learning_rate": 2}[field]
    assert (parting["step"], parting["steps"]) == (step, 108)
    one, another = parting["step_losses"]
    assert one != another
    said = f"The losses of A and B part at step {step}: {one!r} and {another!r}."
    assert said in result["verdict"]


def test_losses_that_part_later(folder, tmp_path, capfd):
    """As after a change of a library: the same was told, and the losses differ."""
    run = tmp_path / "run"
    shutil.copytree(folder / "first", run)
    lines = (run / "metrics.jsonl").read_text().splitlines()
    record = json.loads(lines[1])
    record["val_loss"] = np.nextafter(record["val_loss"], 1.0)
    lines[1] = json.dumps(record)
    (run / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    config = json.loads((run / "config.json").read_text())
    config["versions"]["tensorflow"] = "2.21.1"
    (run / "config.json").write_text(json.dumps(config))
    result = _compare(capfd, folder / "first", run, folder / "again")
    assert [d["name"] for d in result["differences"]] == ["tensorflow"]
    later, same = result["partings"]
    assert (later["epoch"], later["after_step"], later["by_step"]) == (2, 36, 72)
    assert set(later["losses"]) == {"loss", "val_loss"}
    assert "part in epoch 2, between step 36 and step 72" in result["verdict"]
    assert (later["step"], same["step"], same["epoch"]) == (None, None, None)
    assert "A and C are the same in all 3 epochs" in result["verdict"]


def test_the_first_step_where_losses_part(folder, tmp_path, capfd):
    run = tmp_path / "run"
    shutil.copytree(folder / "first", run)
    losses = step_losses.read(run / "losses.bin").copy()
    assert losses.shape == (3 * 36,)
    losses[:40] = np.nan  # As where some were not known.
    losses[57:] = np.nextafter(losses[57:], 9.0)
    step_losses.write(run / "losses.bin", 0, losses)
    result = _compare(capfd, folder / "first", run)
    assert result["identical"] is False
    (parting,) = result["partings"]
    assert (parting["step"], parting["steps"]) == (58, 68)
    assert "were told the same" in result["verdict"]
    assert "part at step 58: " in result["verdict"]


def test_numbers_that_differ_with_nothing_told_apart(folder, tmp_path, capfd):
    run = tmp_path / "run"
    shutil.copytree(folder / "first", run)
    evaluation = json.loads((run / "evaluation.json").read_text())
    evaluation["accuracy"] -= 1e-3
    (run / "evaluation.json").write_text(json.dumps(evaluation))
    result = _compare(capfd, folder / "first", run)
    assert result["identical"] is False
    assert "were told the same, in all that is recorded" in result["verdict"]


def test_a_longer_run_parts_nowhere(folder, capfd):
    result = _compare(capfd, folder / "first", folder / "longer")
    told = [d["name"] for d in result["differences"] if d["about"] != "chosen"]
    assert told == ["epochs"]
    assert result["partings"][0]["epoch"] is None
    assert "the same in all 3 epochs that both have" in result["verdict"]


def test_the_page_of_a_comparison(folder, tmp_path):
    output = tmp_path / "compared.html"
    runs = [str(folder / name) for name in ("first", "seed", "longer")]
    assert main(["compare", *runs, "--html", str(output)]) == 0
    parsed = _assert_whole(output.read_text())
    assert {"runs", "differences", "results", "curves", "data"} <= set(parsed.ids)
    assert "field seed 0 1 0" in parsed.text
    for run in runs:
        assert run in parsed.text
    for name in ("loss, training", "loss, validation", "accuracy, training"):
        assert name in parsed.text


def test_compare_does_not_import_tensorflow(folder, run_python, tmp_path):
    code = (
        "import sys; from kerascale.cli import main\n"
        "assert main(['compare', *sys.argv[1:3], '--html', sys.argv[3]]) == 0\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    run_python(code, folder / "first", folder / "seed", tmp_path / "compared.html")


def test_two_runs_or_more_are_compared(folder):
    with pytest.raises(RefusedError, match=r"expected 2 to 8 runs\. Received: 1"):
        reporting.compare([reporting.read(folder / "first")])
