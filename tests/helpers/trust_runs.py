"""Small trained runs that the tests of `kerascale.trust` look at."""

import atexit
import csv
import functools
import pathlib
import shutil
import tempfile

import numpy as np

import kerascale as ks


def write_loans(path: pathlib.Path, *, rows: int, seed: int, raise_of: float = 0.0):
    """A table in which income and job decide, and men are favoured.

    Args:
        path: The file.
        rows: How many.
        seed: Of what is drawn.
        raise_of: By how much all incomes are higher, in deviations.
    """
    random = np.random.default_rng(seed)
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["income", "noise", "job", "sex", "rare", "paid"])
        for row in range(rows):
            income = random.normal() + raise_of
            job = random.choice(["nurse", "smith", "clerk"])
            sex = random.choice(["f", "m"])
            score = 2.5 * income + 2.0 * (job == "nurse") - 1
            paid = score + (1.5 if sex == "m" else -1.5) + random.logistic() > 0
            gap = row % 17 == 0
            writer.writerow(
                [
                    "" if gap else f"{1000 * income + 3000:.1f}",
                    f"{random.normal():.3f}",
                    job,
                    sex,
                    "yes" if row % 40 == 0 else "no",
                    "yes" if paid else "no",
                ]
            )


@functools.cache
def loans() -> ks.Run:
    """`mlp` on the table, which does not see the column of groups; trained once."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="kerascale-loans-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    write_loans(folder / "loans.csv", rows=1200, seed=1)
    recipe = ks.load_recipe("mlp")
    config = recipe.Config(
        dataset=f"csv:{folder / 'loans.csv'}",
        label="paid",
        drop_columns=("sex", "rare"),
        validation_fraction=0.3,
        epochs=6,
        units=(16,),
        execution="fixed",
    )
    return ks.train(recipe, config, run_dir=folder / "run")


def train_on_digits(folder: pathlib.Path) -> ks.Run:
    """`mlp` on pictures."""
    recipe = ks.load_recipe("mlp")
    config = recipe.Config(epochs=2, units=(32,), execution="fixed")
    return ks.train(recipe, config, run_dir=folder / "run")
