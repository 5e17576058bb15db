"""Tables that are made: as people have them, with words, dates and gaps.

What is to be told of a row follows from it by interactions, steps and curves, with
noise; so it is known how well it can be told at all.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd


def people(rows: int = 30_000) -> pd.DataFrame:
    """Who is `rich`: categories, one of them of 40 values, gaps, a date of no use."""
    draw = np.random.default_rng(1)
    age = draw.integers(17, 85, rows)
    schools = {"none": -1, "school": 0, "bachelor": 0.9, "master": 1.3, "doctor": 1.8}
    education = draw.choice(list(schools), rows, p=[0.1, 0.45, 0.28, 0.13, 0.04])
    jobs = [f"job {number}" for number in range(40)]
    shares = np.random.default_rng(2).dirichlet(np.ones(len(jobs)))
    job = draw.choice(jobs, rows, p=shares)
    hours = np.clip(draw.normal(40, 10, rows), 5, 90).round()
    has_gain = draw.random(rows) < 0.08
    gain = np.where(has_gain, draw.lognormal(8, 1, rows), 0).round()
    states = ["married", "single", "divorced", "widowed"]
    marital = draw.choice(states, rows, p=[0.46, 0.33, 0.15, 0.06])
    sex = draw.choice(["F", "M"], rows)
    since = _days(draw, rows, "2000-01-01", 8000)
    effects = dict(zip(jobs, np.random.default_rng(3).normal(0, 0.8, 40), strict=True))
    score = -3 + pd.Series(education).map(schools).to_numpy()
    score += pd.Series(job).map(effects).to_numpy() + 1.2 * (marital == "married")
    score += 1.5 * np.exp(-(((age - 48) / 15.0) ** 2)) + 0.03 * (hours - 40)
    score += 2.5 * (gain > 5000) - 0.5 * ((gain > 0) & (gain < 2000))
    score += 0.3 * ((sex == "M") & (marital == "married")) + 0.25 * np.sin(age / 4.0)
    rich = np.where(draw.random(rows) < 1 / (1 + np.exp(-score)), "yes", "no")
    columns = {
        "age": age,
        "education": education,
        "job": _with_gaps(draw, job, 0.06),
        "weekly hours": _with_gaps(draw, hours, 0.03),
        "capital-gain": gain,
        "marital": marital,
        "sex": sex,
        "since": since.strftime("%d.%m.%Y"),
        "class": _with_gaps(draw, draw.choice(["a", "b", "c"], rows), 0.02),
        "rich": rich,
    }
    return pd.DataFrame(columns)


def rides(rows: int = 12_000) -> pd.DataFrame:
    """How many `rides` there are in an hour, which scatter by a fifth."""
    draw = np.random.default_rng(11)
    hour, day = draw.integers(0, 24, rows), _days(draw, rows, "2021-01-01", 730)
    season = np.cos(2 * np.pi * day.dayofyear.to_numpy() / 365)
    temperature = 15 - 12 * season + draw.normal(0, 4, rows)
    skies = {"clear": 1, "cloudy": 0.9, "rain": 0.55, "storm": 0.2}
    weather = draw.choice(list(skies), rows, p=[0.5, 0.3, 0.17, 0.03])
    humidity = np.clip(draw.normal(60, 18, rows), 10, 100)
    morning = 180 * np.exp(-(((hour - 8) / 1.5) ** 2))
    evening = 220 * np.exp(-(((hour - 17.5) / 2) ** 2))
    free = 150 * np.exp(-(((hour - 14) / 4.0) ** 2)) + 30
    mean = np.where(day.dayofweek < 5, morning + evening + 40, free)
    mean *= np.clip(0.3 + temperature / 25, 0.1, 1.6) * (1 - 0.003 * (humidity - 60))
    mean *= pd.Series(weather).map(skies).to_numpy() * (1 + 0.25 * (day.year == 2022))
    count = np.maximum(0, mean * draw.lognormal(0, 0.2, rows)).round(2)
    columns = {
        "when": (day + pd.to_timedelta(hour, "h")).strftime("%Y-%m-%d %H:%M"),
        "temperature": temperature.round(1),
        "humidity": _with_gaps(draw, humidity.round(), 0.05),
        "weather": weather,
        "station": draw.choice([f"s{number}" for number in range(30)], rows),
        "rides": count,
    }
    return pd.DataFrame(columns)


def _days(
    draw: np.random.Generator, rows: int, first: str, count: int
) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(
        pd.Timestamp(first) + pd.to_timedelta(draw.integers(0, count, rows), "D")
    )


def _with_gaps(
    draw: np.random.Generator, values: np.ndarray, share: float
) -> np.ndarray:
    return np.where(draw.random(len(values)) < share, "", values.astype(str))


MADE: dict[str, Callable[[], pd.DataFrame]] = {"people": people, "rides": rides}
