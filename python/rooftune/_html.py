"""Results as HTML fragments, for notebooks. Names come from anywhere: everything is escaped."""

import html


def _number(value, digits=4):
    return "" if value is None else f"{value:.{digits}g}"


def _table(head, rows):
    cells = "".join(f"<th>{html.escape(title)}</th>" for title in head)
    lines = "".join("<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{lines}</tbody></table>"


def _errors(aggregates):
    """Mean |error| in percent by metric, of the metrics that all fits have."""
    return {metric: statistics["mean_ape_percent"] for metric, statistics in aggregates.items() if isinstance(statistics, dict)}


def fit(result, loss_before, loss_after, interrupted):
    before, after = _errors(result["before"]), _errors(result["after"])
    text = f"<p><b>loss {loss_before:.2f} % → {loss_after:.2f} %</b>"
    text += " (interrupted: the best so far)</p>" if interrupted else "</p>"
    text += _table(["mean |error| of", "before %", "after %"],
                   [[metric, _number(before[metric], 3), _number(after[metric], 3)] for metric in before if metric in after])
    text += _table(["parameter", "unit", "start", "value", "± standard error", "between", "verdict"],
                   [[one["parameter"], one["unit"], _number(one["start"]), _number(one["value"]), _number(one["standard_error"], 2),
                     f"{_number(one['lower'])} and {_number(one['upper'])}", one["verdict"]] for one in result["parameters"]])
    return text


def evaluation(result):
    rows = [[row["experiment"], row["metric"], _number(row["predicted"]), _number(row["measured"]), f"{row['error_percent']:+.1f}"]
            for row in result["rows"] if row["stage"] == "summary"]
    return _table(["experiment", "metric", "predicted ms", "measured ms", "error %"], rows)
