"""Results are the commands' JSON, tables and arrays."""

import json

import numpy
import pytest
import rooftune


@pytest.fixture
def evaluation(folder, source):
    return rooftune.evaluate(ground_truth=source / "ground_truth/h100.json", select={"id": [64, 62]}, config="h100.physics",
                             assumptions=False)


def test_columns_are_the_rows_of_the_json(evaluation):
    rows = evaluation.to_dict()["rows"]
    assert evaluation.predicted_ms.tolist() == [row["predicted"] for row in rows]
    assert evaluation.measured_ms.tolist() == [row["measured"] for row in rows]
    assert evaluation.experiments == [row["experiment"] for row in rows]
    assert evaluation.metrics == [row["metric"] for row in rows]
    assert evaluation.stages.tolist() == [-1 if row["stage"] == "summary" else row["stage"] for row in rows]
    assert numpy.allclose(evaluation.error_percent, [row["error_percent"] for row in rows], rtol=1e-12)


def test_columns_are_views_that_keep_their_result(evaluation):
    first, second = evaluation.predicted_ms, evaluation.predicted_ms
    assert numpy.shares_memory(first, second)
    assert not first.flags.owndata and not first.flags.writeable
    kept = first.tolist()
    del evaluation, second
    assert first.tolist() == kept


def test_parts_of_a_fit_outlive_it(study):
    after = study.fit().after
    assert after.loss_percent > 0 and len(after.predicted_ms) == len(after.experiments)


def test_a_fit_is_html_with_its_parameters(study):
    fit = study.fit()
    text = fit._repr_html_()
    assert "physics.t_layer_us" in text and "loss" in text and "ttft_mean_ms" in text
    assert f"{fit.after.loss_percent:.2f} %" in text
    assert repr(fit).startswith("<rooftune.Fit 3 parameters, loss ")


def test_html_escapes_names(evaluation):
    from rooftune import _html
    rows = [{"experiment": "<script>alert(1)</script>", "metric": "ttft_mean_ms", "stage": "summary", "predicted": 1.0, "measured": 1.0,
             "error_percent": 0.0}]
    text = _html.evaluation({"rows": rows})
    assert "<script>" not in text and "&lt;script&gt;" in text
    assert evaluation._repr_html_().count("<tr>") > 2


def test_frames_are_the_tables(evaluation, study):
    pytest.importorskip("pandas")
    frame = evaluation.to_frame()
    assert frame["predicted_ms"].tolist() == evaluation.predicted_ms.tolist()
    fit = study.fit()
    assert fit.to_frame()["value"].to_dict() == fit.parameters
    folds = study.crossval().to_frame()
    assert len(folds) == 2 and "physics.t_layer_us" in folds.columns


def test_a_shipped_config_goes_by_its_name(folder):
    config = rooftune.load_config("h100.physics")
    assert config.step_time_model == "physics"
    assert config.to_dict()["schema"] == "rooftune/config/1"
    assert 0.5 < config.parameters["physics.weight_bandwidth_fraction"] < 1.0
    config.save("copy.json")
    assert rooftune.load_config("./copy.json") == config
    with pytest.raises(rooftune.Error, match="h100"):
        rooftune.load_config("h100.fisics")


def test_ground_truth_is_checked_and_listed(source, folder):
    truth = rooftune.read_ground_truth(source / "ground_truth/h100.json", source / "ground_truth/a100.json")
    assert len(truth) == 17 and len(truth.experiments) == 17
    rows = [row for row in truth.rows() if row["experiment"] == "64" and row["stage"] == "summary" and row["metric"] == "ttft_mean_ms"]
    assert rows[0]["measured_ms"] == truth.to_dict()[truth.experiments.index("64")]["measured"]["summary"]["ttft_mean"]
    (folder / "broken.json").write_text('[{"id": 3, ')
    with pytest.raises(rooftune.Error, match="broken.json:1:"):
        rooftune.read_ground_truth("broken.json")


def test_the_version_is_the_program_s():
    assert rooftune.command("--version").startswith(f"rooftune {rooftune.__version__}\n")


def test_commands_end_in_errors_with_their_messages(folder):
    with pytest.raises(rooftune.Error, match="error: unknown command 'fitt' \\(did you mean 'fit'\\?\\)"):
        rooftune.command("fitt")


def test_json_is_what_dicts_are_made_of(evaluation):
    assert json.loads(evaluation.to_json()) == evaluation.to_dict()
