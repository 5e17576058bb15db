"""A text file: what is trained on, and what is held back."""

import pytest

import kerascale as ks
from kerascale.datasets.sources.embedded import python_reference
from kerascale.datasets.sources.text_file import load_text


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("".join(chr(ord("a") + i * i % 26) for i in range(1000)))
    return path


def sizes(raw):
    return [len(s.features[0]) for s in (raw.train, raw.validation, raw.test)]


def test_a_share_of_the_characters_is_held_back(file):
    assert sizes(load_text(file)) == [900, 50, 50]
    raw = load_text(file, 0.2)
    assert sizes(raw) == [600, 200, 200]
    parts = (raw.train, raw.validation, raw.test)
    assert "".join(part.features[0] for part in parts) == file.read_text()
    with pytest.raises(
        ks.RefusedError, match=r"hold back 0.5 of them twice. Received: .* has 1000"
    ):
        load_text(file, 0.5)


def test_the_recipe_heeds_the_fraction(file):
    recipe = ks.load_recipe("language_model")
    config = recipe.Config(
        dataset=f"text:{file}", validation_fraction=0.3, max_length=9
    )
    datasets = recipe.make_datasets(config)
    assert datasets.info.num_examples == {"train": 44, "validation": 33, "test": 33}
    with pytest.raises(
        ks.RefusedError, match=r"validation_fraction: expected .* < 0.5"
    ):
        recipe.Config(validation_fraction=0.5)


def test_the_python_reference_too():
    total = sum(sizes(python_reference()))
    for fraction in (0.05, 0.2):
        _, validation, test = sizes(python_reference(fraction))
        for held_out in (validation, test):
            assert 0.9 * fraction * total < held_out <= fraction * total
