import pytest

from sfqa.errors import UserError
from sfqa.regression.metrics import check_validation_rows, list_metrics, read_versions

COLUMNS = {"slowfast": None, "lse": ["lse_c", "lse_d"], "imported": ["clipiqa+", "a b", "confi"]}


def test_every_key_is_filled_in():
    got = list_metrics(
        {
            "SimpleVQA": {"kind": "regressor", "inputs": ["slowfast", "lse.lse_c"], "head": "mlp",
                          "options": {"epochs": 5}, "group": "VQA"},
            "LSE-D": {"kind": "zero_shot", "inputs": ["lse.lse_d"], "direction": -1},
            "oracle": {"kind": "control"},
            "lower": {"kind": "control", "head": "constant", "dimensions": ["visual"]},
        },
        COLUMNS,
    )  # fmt: skip
    assert [m["name"] for m in got] == ["SimpleVQA", "LSE-D", "oracle", "lower"]
    assert len({tuple(m) for m in got}) == 1
    assert got[0]["options"]["epochs"] == 5
    assert got[0]["options"]["activation"] == "none"
    assert got[0]["direction"] == 1
    assert (got[1]["direction"], got[1]["group"], got[1]["head"]) == (-1, "zero_shot", None)
    assert got[2]["head"] == "oracle"
    assert (got[3]["head"], got[3]["dimensions"]) == ("constant", ["visual"])


def test_each_stands_for_every_column():
    entry = {"each": "imported", "kind": "imported", "group": "IQA", "directions": {"confi": -1}}
    got = list_metrics({"all": entry}, COLUMNS)
    assert [(m["name"], m["inputs"], m["direction"], m["kind"], m["group"]) for m in got] == [
        ("clipiqa+", ["imported.clipiqa+"], 1, "imported", "IQA"),
        ("a_b", ["imported.a b"], 1, "imported", "IQA"),
        ("confi", ["imported.confi"], -1, "imported", "IQA"),
    ]


RIDGE = {"kind": "regressor", "inputs": ["lse"], "head": "ridge"}
MLP = {"kind": "regressor", "inputs": ["lse"], "head": "mlp"}


@pytest.mark.parametrize(
    ("name", "entry", "message"),
    [
        ("m", RIDGE | {"kind": "regresor"}, "did you mean 'regressor'"),
        ("m", RIDGE | {"head": "rigde"}, r"metrics\.m: .*did you mean 'ridge'"),
        ("m", RIDGE | {"options": {"lambda": [1.0]}}, "did you mean 'lambdas'"),
        ("m", RIDGE | {"inputs": ["lsee"]}, "did you mean 'lse'"),
        ("m", RIDGE | {"inputs": ["lse.lse_x"]}, "lse has no 'lse_x'; did you mean 'lse_"),
        ("m", RIDGE | {"inputs": "lse"}, "write a list"),
        ("m", RIDGE | {"inputs": []}, "inputs: missing"),
        ("m", RIDGE | {"heads": "x"}, "did you mean 'head'"),
        ("m", RIDGE | {"direction": 2}, "write 1"),
        ("m/n", RIDGE, "becomes a folder"),
        ("m", {"kind": "zero_shot", "inputs": ["lse.lse_c", "lse.lse_d"]}, "one scalar column"),
        (
            "m",
            {"kind": "zero_shot", "inputs": ["lse.lse_c"], "options": {"a": 1}},
            "is not trained",
        ),
        ("m", {"kind": "control"}, "no control 'm'"),
        ("oracle", {"kind": "control", "inputs": ["lse"]}, "a control has none"),
        ("m", {"each": "import"}, "did you mean 'imported'"),
        ("m", {"each": "slowfast"}, "are not known"),
        ("m", {"each": "imported", "directions": {"conf": -1}}, "did you mean 'confi'"),
        ("m", {"each": "imported", "head": "mlp"}, "does not go with each"),
        ("m", RIDGE | {"directions": {}}, "goes with each"),
        ("m", RIDGE | {"loss": "mae"}, r"m: loss: head ridge has no loss to choose; .* mlp"),
        ("m", MLP | {"loss": "mae", "options": {"loss": "mse"}}, "given twice, once in options"),
        ("m", MLP | {"loss": "plcc + fidelty"}, "metrics.m: .* did you mean 'fidelity'"),
        ("m", MLP | {"options": {"loss": "plcc, mae"}}, "write it as 'mae"),
        ("m", MLP | {"loss": 3}, "options.loss is 3; give a text"),
        ("m", MLP | {"jobs": 0}, r"m\.jobs: 0; write a whole number of 1 or more"),
        ("m", MLP | {"jobs": True}, r"m\.jobs: True; write a whole number"),
        ("oracle", {"kind": "control", "jobs": 2}, r"jobs: a control metric is not trained"),
        ("m", {"kind": "zero_shot", "inputs": ["lse.lse_c"], "loss": "mae"}, "is not trained"),
        ("oracle", {"kind": "control", "loss": "mae"}, "is not trained"),
        ("m", RIDGE | {"published": 0.7}, "source: 'SFQA, Table 2'"),
        ("m", RIDGE | {"published": {"srcc": 0.7}}, "published.source: missing"),
        ("m", RIDGE | {"published": {"source": " ", "srcc": 0.7}}, "source: ' '; write some words"),
        ("m", RIDGE | {"published": {"source": "a"}}, "no figure; add some of srcc, plcc"),
        ("m", RIDGE | {"published": {"source": "a", "scrc": 1}}, "did you mean 'srcc'"),
        ("m", RIDGE | {"published": {"source": "a", "srcc": 70}}, "srcc: 70; write a number from"),
        ("m", RIDGE | {"published": {"source": "a", "plcc": "0.7"}}, "plcc: '0.7'; write a number"),
        ("m", RIDGE | {"published": {"source": "a", "krcc": float("nan")}}, "krcc: nan"),
        ("m", RIDGE | {"published": {"source": "a", "srcc": True}}, "srcc: True"),
        ("m", RIDGE | {"published": [{"source": "a", "srcc": 1}, {"rmse": -1}]}, "rmse: -1; write"),
        ("m", {"each": "imported", "published": {"source": "a", "srcc": 1}}, "go with each"),
    ],
)
def test_mistakes_are_sentences(name, entry, message):
    with pytest.raises(UserError, match=message):
        list_metrics({name: entry}, COLUMNS)


def test_a_loss_beside_the_head_is_the_heads_option():
    short = list_metrics({"m": MLP | {"loss": "mae + 0.5 plcc"}}, COLUMNS)
    written_out = list_metrics({"m": MLP | {"options": {"loss": "mae + 0.5 plcc"}}}, COLUMNS)
    assert short == written_out
    assert short[0]["options"]["loss"] == "mae + 0.5 plcc"
    assert list_metrics({"m": MLP}, COLUMNS)[0]["options"]["loss"] == "mse"


def test_published_figures_stand_apart_from_what_makes_ours():
    figure = {"source": "SFQA, Table 2", "dimension": "visual", "srcc": 0.7, "plcc": -1}
    one = list_metrics({"m": MLP | {"published": figure}}, COLUMNS)[0]
    many = list_metrics({"m": MLP | {"published": [figure, {"source": "b", "rmse": 9}]}}, COLUMNS)[
        0
    ]
    none = list_metrics({"m": MLP}, COLUMNS)[0]
    assert one["published"] == [figure]
    assert many["published"][1] == {"source": "b", "rmse": 9}
    assert none["published"] == []
    assert {k: v for k, v in one.items() if k != "published"} == {
        k: v for k, v in none.items() if k != "published"
    }
    assert read_versions(one) == read_versions(none)


def test_names_are_there_once():
    entries = {"all": {"each": "lse"}, "LSE_C": {"kind": "zero_shot", "inputs": ["lse.lse_c"]}}
    with pytest.raises(UserError, match="'LSE_C' occurs twice"):
        list_metrics(entries, COLUMNS)


@pytest.mark.parametrize(
    ("kind", "files"),
    [
        ("regressor", {"protocols", "design", "train", "head ridge"}),
        ("zero_shot", {"protocols", "design", "zero_shot"}),
        ("imported", {"protocols", "design", "zero_shot"}),
        ("control", {"protocols", "controls"}),
    ],
)
def test_versions_of_all_that_numbers_depend_on(kind, files):
    found = read_versions({"kind": kind, "head": "ridge"})
    assert set(found) == files
    assert all(isinstance(v, int) and v >= 1 for v in found.values())


def test_versions_of_a_network_name_its_training():
    assert "training" in read_versions({"kind": "regressor", "head": "mlp"})


def test_versions_of_a_blend_name_its_members():
    options = {"members": ["kernel", "boosting"]}
    found = read_versions({"kind": "regressor", "head": "blend", "options": options})
    assert {"head blend", "head kernel", "head boosting"} <= set(found)


def test_a_head_that_selects_needs_validation_rows_before_the_first_job():
    protocols = [
        {"name": "random", "kind": "random_trials", "trials": 2, "parts": [8, 0, 2]},
        {"name": "other", "kind": "cross_dataset", "model": "other.sfqa"},
    ]
    regressor = {"kind": "regressor", "inputs": ["signal.x"]}
    entries = {
        "forest": {**regressor, "head": "random_forest"},
        "kernel": {**regressor, "head": "kernel"},
    }
    check_validation_rows(list_metrics(entries, {"signal": ["x"]}), protocols)
    entries["ridge"] = {**regressor, "head": "ridge"}
    metrics = list_metrics(entries, {"signal": ["x"]})
    with pytest.raises(
        UserError, match="protocols 'random': validation is 0, but metric 'ridge' .*head ridge"
    ):
        check_validation_rows(metrics, protocols)
    check_validation_rows(metrics, [{**protocols[0], "parts": [7, 1, 2]}])
