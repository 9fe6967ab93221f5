"""From features to tables and figures as a plain script does it: the rival of to_table.py.

    python benchmarks/_plain_table.py TABLE FOLDS OUT

pandas, scikit-learn, scipy and matplotlib, one process; the forest uses all cores. TABLE is a CSV
of features with the columns Image and Score; FOLDS, a pickle, has the folds and seeds that both
sides share. Kernel ridge with its closed-form search and the network are not in scikit-learn: both
sides call the same functions for them. It leaves out the intervals and tests of KRCC, since one
call of scipy per resample would take minutes; everything else is made as the workflow makes it.
"""

from __future__ import annotations

import itertools
import pickle
import sys
import warnings
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from scipy import optimize, stats
from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow" / "scripts"))
matplotlib.use("Agg")
import matplotlib.pyplot as plt

LAMBDAS = [1e-4, 1e-3, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 1000.0, 10000.0]
STATISTICS = ("srcc", "plcc", "krcc", "rmse")


# --- Predictions ----------------------------------------------------------------------------


def fit_forest(x, y, fold):
    rows = np.concatenate([fold["train"], fold["validation"]])
    forest = RandomForestRegressor(100, random_state=fold["seed"] % 2**32, n_jobs=-1)
    return forest.fit(x[rows], y[rows]).predict(x[fold["test"]])


def fit_ridge(x, y, fold):
    train, validation, test = (fold[part] for part in ("train", "validation", "test"))
    scaler = StandardScaler().fit(x[train].astype(float))
    scaled = {name: scaler.transform(x[fold[name]].astype(float)) for name in fold["parts"]}
    models = [Ridge(alpha * len(train)).fit(scaled["train"], y[train]) for alpha in LAMBDAS]
    errors = [np.mean((m.predict(scaled["validation"]) - y[validation]) ** 2) for m in models]
    assert len(test)
    return models[int(np.argmin(errors))].predict(scaled["test"])


def fit_boosting(x, y, fold):
    rows = np.sort(np.concatenate([fold["train"], fold["validation"]]))
    model = GradientBoostingRegressor(
        n_estimators=300, learning_rate=0.04, max_depth=3, subsample=0.5, max_features=0.3,
        min_samples_leaf=8, random_state=fold["seed"] % 2**32,
    )  # fmt: skip
    return model.fit(x[rows], y[rows]).predict(x[fold["test"]])


def fit_head(name, options, x, y, folds, work):
    """Fit a head of the package to all folds, without its workflow."""
    from sfqa.regression import heads
    from sfqa.regression.problems import Problem

    problems = []
    for fold in folds:
        target = np.full((len(y), 1), np.nan)
        rows = np.concatenate([fold["train"], fold["validation"]])
        target[rows, 0] = y[rows]
        problems.append(
            Problem(
                fold["train"], fold["validation"], target, fold["seed"], fold["protocol"],
                fold["groups"],
            )
        )  # fmt: skip
    merged = heads.merge_options(name, options)
    work.mkdir(parents=True, exist_ok=True)
    predictions, _ = heads.fit_and_predict(name, x, problems, merged, work, "cpu")
    return [p[fold["test"], 0] for p, fold in zip(predictions, folds, strict=True)]


def predict_all(frame, features, folds, work):
    """Return predictions by metric: one array per fold."""
    x = frame[features].to_numpy(np.float32)
    y = frame["Score"].to_numpy(float)
    draw = np.random.default_rng(1)
    noise = draw.random(len(frame))
    columns = {"random": noise, "constant": np.zeros(len(frame)), "oracle": y}
    columns |= {name: x[:, k].astype(float) for k, name in enumerate(features)}
    predictions = {
        name: [column[fold["test"]] for fold in folds] for name, column in columns.items()
    }
    predictions["random-forest"] = [fit_forest(x, y, fold) for fold in folds]
    predictions["ridge"] = [fit_ridge(x, y, fold) for fold in folds]
    predictions["MLP"] = fit_head("mlp", {}, x, y, folds, work / "mlp")
    both = {"fit_on_validation": True}
    kernel = fit_head("kernel", both, x, y, folds, work / "kernel")
    line = fit_head("kernel", {**both, "gammas": [0.0], "linear": [1.0]}, x, y, folds, work / "l")
    trees = [fit_boosting(x, y, fold) for fold in folds]
    predictions["kernel"] = kernel
    predictions["line-and-trees"] = [(a + b) / 2 for a, b in zip(line, trees, strict=True)]
    predictions["kernel-and-trees"] = [(a + b) / 2 for a, b in zip(kernel, trees, strict=True)]
    return predictions


# --- Tables ---------------------------------------------------------------------------------


def logistic(x, high, low, middle, width):
    with np.errstate(over="ignore"):
        return low + (high - low) / (1 + np.exp(-(x - middle) / abs(width)))


def fit_curve(x, y):
    """Return the scores mapped to the MOS by the 4-parameter logistic, as papers fit it."""
    scale = np.std(x) or 1.0
    u = (x - np.mean(x)) / scale
    try:
        parameters, _ = optimize.curve_fit(logistic, u, y, [np.max(y), np.min(y), 0.0, 0.5])
    except RuntimeError:
        parameters = None
    line = np.polyval(np.polyfit(u, y, 1), u)
    return line if parameters is None else logistic(u, *parameters)


def correlate(x, y):
    """Return the four statistics and the mapped scores."""
    if np.ptp(x) == 0:
        constant = np.full(len(x), y.mean())
        return (np.nan, np.nan, np.nan, float(np.sqrt(np.mean((constant - y) ** 2)))), constant
    mapped = fit_curve(x, y)
    return (
        stats.spearmanr(x, y).statistic,
        stats.pearsonr(mapped, y).statistic if np.ptp(mapped) else np.nan,
        stats.kendalltau(x, y).statistic,
        float(np.sqrt(np.mean((mapped - y) ** 2))),
    ), mapped


def correlate_columns(a, b):
    a, b = a - a.mean(axis=0), (b - b.mean())[:, None]
    power = (a * a).sum(axis=0) * (b * b).sum()
    return (a * b).sum(axis=0) / np.sqrt(np.where(power > 0, power, np.nan))


def resample(scores, mapped, y, units, count, draw):
    """Return SRCC and PLCC of all metrics in every resample of units, (count, metrics) each."""
    names, codes = np.unique(units, return_inverse=True)
    rows_of = [np.flatnonzero(codes == code) for code in range(len(names))]
    srcc, plcc = (np.empty((count, scores.shape[1])) for _ in range(2))
    for number in range(count):
        rows = np.concatenate([rows_of[k] for k in draw.integers(0, len(names), len(names))])
        ranks = stats.rankdata(scores[rows], axis=0)
        srcc[number] = correlate_columns(ranks, stats.rankdata(y[rows]))
        plcc[number] = correlate_columns(mapped[rows], y[rows])
    return srcc, plcc


def make_tables(frame, predictions, folds, directions, count):
    """Return the tables: pooled, mean over trials, methods' means, by method, significance."""
    y, method = frame["Score"].to_numpy(float), frame["method"].to_numpy(str)
    names, rows, tests = list(predictions), [], []
    draw = np.random.default_rng(2)
    pooled_scores = {}
    for protocol in dict.fromkeys(fold["protocol"] for fold in folds):
        numbers = [k for k, fold in enumerate(folds) if fold["protocol"] == protocol]
        units = frame["portrait"].to_numpy() if protocol == "by_portrait" else np.arange(len(y))
        replicates = {}
        for level, parts in (("pooled", [numbers]), ("trials", [[k] for k in numbers])):
            level_values, level_replicates = [], []
            for part in parts:
                test = np.concatenate([folds[k]["test"] for k in part])
                scores = np.stack(
                    [
                        np.concatenate([predictions[name][k] for k in part]) * directions[name]
                        for name in names
                    ],
                    axis=1,
                )
                fits = [correlate(column, y[test]) for column in scores.T]
                mapped = np.stack([curve for _, curve in fits], axis=1)
                level_values.append([values for values, _ in fits])
                level_replicates.append(resample(scores, mapped, y[test], units[test], count, draw))
                if level == "pooled":
                    order = np.argsort(test)
                    pooled_scores[protocol] = (scores[order], mapped[order])
                    rows += tabulate_methods(protocol, names, scores, y[test], method[test])
            values = np.nanmean(np.array(level_values, float), axis=0)
            replicates[level] = [np.nanmean(r, axis=0) for r in zip(*level_replicates, strict=True)]
            low, high = (
                [np.nanquantile(r, end, axis=0) for r in replicates[level]] for end in (0.02, 0.98)
            )
            for k, name in enumerate(names):
                row = {"protocol": protocol, "level": level, "metric": name}
                row |= dict(zip(STATISTICS, values[k], strict=True))
                row |= {"srcc_low": low[0][k], "srcc_high": high[0][k]}
                rows.append(row | {"plcc_low": low[1][k], "plcc_high": high[1][k]})
        tests += test_pairs(protocol, names, replicates["pooled"])
    return pd.DataFrame(rows), pd.DataFrame(tests), pooled_scores


def tabulate_methods(protocol, names, scores, y, method):
    """Return the rows of the methods' means, and of the samples within each method."""
    groups = {label: method == label for label in sorted(set(method))}
    means = np.stack([scores[chosen].mean(axis=0) for chosen in groups.values()])
    goal = np.array([y[chosen].mean() for chosen in groups.values()])
    rows = []
    for k, name in enumerate(names):
        parts = {"methods": (means[:, k], goal)}
        parts |= {label: (scores[chosen, k], y[chosen]) for label, chosen in groups.items()}
        for label, (column, part_goal) in parts.items():
            values, _ = correlate(column, part_goal)
            row = {"protocol": protocol, "level": label, "metric": name}
            rows.append(row | dict(zip(STATISTICS, values, strict=True)))
    return rows


def test_pairs(protocol, names, replicates):
    """Return the paired bootstrap test of every two metrics, with Holm's correction."""
    rows = []
    for statistic, values in zip(("srcc", "plcc"), replicates, strict=True):
        found = []
        for a, b in itertools.combinations(range(3, len(names)), 2):
            steps = values[:, a] - values[:, b]
            spread = np.nanstd(steps, ddof=1)
            p = 2 * stats.t.sf(abs(np.nanmean(steps)) / spread, 19) if spread else np.nan
            found.append((names[a], names[b], p))
        order = np.argsort([p for *_, p in found])
        adjusted = np.maximum.accumulate([(len(order) - k) * found[n][2] for k, n in
                                          enumerate(order)])  # fmt: skip
        for rank, number in enumerate(order):
            rows.append((protocol, statistic, *found[number], min(1.0, adjusted[rank])))
    return rows


# --- Figures --------------------------------------------------------------------------------


def save(figure, out, name):
    for ending in ("svg", "png"):
        figure.savefig(out / f"{name}.{ending}", dpi=160)
    plt.close(figure)


def draw_figures(frame, names, table, tests, scores, mapped, out):
    """Draw a scatter plot per metric, bars, ranks, the matrix of metrics, MOS by method."""
    y, method = frame["Score"].to_numpy(float), frame["method"]
    for k, name in enumerate(names):
        if k < 3:
            continue
        figure, axes = plt.subplots(figsize=(6.2, 4.7), layout="constrained")
        for label in sorted(set(method)):
            chosen = (method == label).to_numpy()
            axes.scatter(scores[chosen, k], y[chosen], s=14, alpha=0.55, linewidths=0, label=label)
        order = np.argsort(scores[:, k])
        axes.plot(scores[order, k], mapped[order, k], color="#222222")
        points = np.stack([scores[:, k], y])
        if np.linalg.matrix_rank(np.cov(points)) == 2:
            kernel = stats.gaussian_kde(points)
            sides = [np.linspace(v.min(), v.max(), 80) for v in points]
            grid = np.stack([side.ravel() for side in np.meshgrid(*sides)])
            axes.contour(*sides, kernel(grid).reshape(80, 80), levels=3, colors="#4a4a4a")
        axes.set(xlabel=f"{name}\n\n{table.loc[k, 'srcc']:.3f}", ylabel="MOS", title=name)
        figure.legend(loc="outside right upper", frameon=False)
        save(figure, out, f"scatter_{name}")
    main = table[(table["level"] == "trials") & (table["protocol"] == "by_portrait")]
    figure, axes = plt.subplots(figsize=(7, 9), layout="constrained")
    gaps = np.abs(main[["srcc_low", "srcc_high"]].to_numpy().T - main["srcc"].to_numpy())
    axes.barh(main["metric"], main["srcc"].fillna(0.0), xerr=np.nan_to_num(gaps))
    save(figure, out, "metric_bars")
    figure, axes = plt.subplots(figsize=(7, 9), layout="constrained")
    ranks = main.set_index("metric")["srcc"].rank(ascending=False)
    axes.plot(ranks, range(len(ranks)), "o")
    axes.set_yticks(range(len(ranks)), ranks.index)
    axes.set_title(f"{int((tests[5] < 0.05).sum())} significant differences")
    save(figure, out, "metric_ranks")
    figure, axes = plt.subplots(figsize=(10, 10), layout="constrained")
    matrix = np.nan_to_num(stats.spearmanr(np.column_stack([scores[:, 3:], y])).statistic)
    axes.imshow(matrix, cmap="RdBu", vmin=-1, vmax=1)
    for (row, column), value in np.ndenumerate(matrix):
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=5)
    save(figure, out, "metric_matrix")
    groups = dict(list(frame.groupby("method")["Score"]))
    for name in ("mos_by_method", "mos_distributions", "mos_differences"):
        figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
        if name == "mos_by_method":
            errors = [1.96 * part.sem() for part in groups.values()]
            axes.barh(list(groups), [part.mean() for part in groups.values()], xerr=errors)
        elif name == "mos_distributions":
            axes.violinplot([part.to_numpy() for part in groups.values()])
        else:
            p = [[stats.ttest_ind(a, b).pvalue for b in groups.values()] for a in groups.values()]
            axes.imshow(p, vmin=0, vmax=1)
        save(figure, out, name)
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    best = int(np.nanargmax(main["srcc"].to_numpy()[3:])) + 3
    worst = np.argsort(-np.abs(mapped[:, best] - y))[:12]
    axes.scatter(scores[:, best], y, s=8)
    axes.scatter(scores[worst, best], y[worst], s=30)
    save(figure, out, "failure_cases")


def main(table_path, folds_path, out):
    warnings.simplefilter("ignore")
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    frame = pd.read_csv(table_path).sort_values("Image", ignore_index=True)
    given = pickle.loads(Path(folds_path).read_bytes())
    folds, features = given["folds"], given["features"]
    frame["method"], frame["portrait"] = given["method"], given["portrait"]
    predictions = predict_all(frame, features, folds, out)
    directions = {name: given["directions"].get(name, 1) for name in predictions}
    ids = frame["Image"].to_numpy()
    long = [
        pd.DataFrame(
            {"metric": name, "protocol": fold["protocol"], "trial": fold["trial"],
             "sample_id": ids[fold["test"]], "prediction": values}
        )
        for name, parts in predictions.items()
        for fold, values in zip(folds, parts, strict=True)
    ]  # fmt: skip
    pd.concat(long).to_parquet(out / "predictions.parquet")
    table, tests, scores = make_tables(frame, predictions, folds, directions, given["bootstrap"])
    for ending, write in (("csv", table.to_csv), ("tex", table.to_latex), ("html", table.to_html)):
        write(out / f"metrics.{ending}")
    tests.to_csv(out / "significance.csv")
    names = list(predictions)
    draw_figures(frame, names, table, tests, *scores["by_portrait"], out)


if __name__ == "__main__":
    main(*sys.argv[1:])
