"""A mistake tells which file a picture is, and shows a text as it was written."""

import html
import re

import numpy as np
import PIL.Image
import pytest

import kerascale as ks
from kerascale.cli import main
from kerascale.reporting import examples
from kerascale.training import build


def _page(run_dir, capfd):
    assert main(["report", str(run_dir)]) == 0
    capfd.readouterr()
    text = (run_dir / "report.html").read_text()
    return text[text.index('id="mistakes"') :]


@pytest.mark.parametrize("image_size", [pytest.param(None, marks=pytest.mark.slow), 6])
def test_a_wrong_picture_tells_its_file(tmp_path, capfd, image_size):
    generator = np.random.default_rng(0)
    values = {}
    for number in range(80):
        # Its place says nothing of its class: there will be mistakes.
        folder = tmp_path / "pictures" / ("cat", "d&g")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 255, (6, 6), dtype=np.uint8)
        pixels[:] = pixels[0, 0] if image_size else pixels
        file = folder / f"{generator.integers(10**9)}.png"
        PIL.Image.fromarray(pixels).save(file)
        values[str(file)] = pixels
    recipe = ks.load_recipe("cnn")
    config = recipe.Config(
        dataset=f"images:{tmp_path / 'pictures'}",
        image_size=image_size,
        epochs=1,
        validation_fraction=0.2,
    )
    run = ks.train(recipe, config, run_dir=tmp_path / "run")
    # A training has no memory for them.
    assert build.make_datasets(recipe, config).origins == {}
    shown = re.findall(r"example (\d+)<br><code>(.*?)</code>", _page(run.path, capfd))
    assert shown
    test = next(iter(build.make_datasets(recipe, config).test.dataset()))[0].numpy()
    for number, file in shown:
        pixels = values[html.unescape(file)]
        np.testing.assert_array_equal(test[int(number), ..., 0], pixels)


@pytest.mark.slow
def test_a_wrong_text_is_shown_as_it_was_written(tmp_path, capfd):
    generator = np.random.default_rng(0)
    rows = ["text,label"]
    for number in range(80):
        words = generator.choice(["The", "<Old>", "Don't", "naïve", "CAPITAL!"], 4)
        rows.append(f'"{" ".join(words)} No. {number:03}",{number % 2}')
    (tmp_path / "texts.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    recipe = ks.load_recipe("transformer")
    config = recipe.Config(
        dataset=f"csv:{tmp_path / 'texts.csv'}",
        label="label",
        epochs=1,
        validation_fraction=0.2,
    )
    run = ks.train(recipe, config, run_dir=tmp_path / "run")
    section = _page(run.path, capfd)
    shown = re.findall(r'<p class="text">(.*?)</p>\s*is <b>(\d)</b>', section)
    assert shown
    for text, true in shown:
        row = f'"{html.unescape(text)}",{true}'
        assert row in rows


def test_a_long_text_is_cut():
    assert examples.as_written("Short!") == "Short!"
    assert examples.as_written("x" * 3456).endswith("x… and 1,456 more characters")
