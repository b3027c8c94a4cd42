"""Tables as plain pandas DataFrames. pandas (0.4 s) is loaded with the first one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .tables import Column, Table, moment

if TYPE_CHECKING:
    import pandas as pd


def frame(table: Table) -> pd.DataFrame:
    """A plain DataFrame with the table's columns, typed also where it is empty.

    ``attrs`` holds ``name``, ``as_of`` (ISO 8601, UTC), ``hosts`` (how many were asked), ``failed`` (host to reason),
    ``notes``, ``wide`` (columns that people rarely look at) and ``bytes`` (columns that count bytes).
    """
    import pandas as pd

    data = {column.name: _series(column, [row.get(column.name) for row in table.rows]) for column in table.columns}
    made = pd.DataFrame(data, columns=[column.name for column in table.columns])
    made.attrs = {
        "name": table.name, "as_of": moment(table.as_of).isoformat(), "hosts": table.hosts,
        "failed": dict(table.failed), "notes": list(table.notes),
        "wide": [column.name for column in table.columns if column.wide],
        "bytes": [column.name for column in table.columns if column.kind == "bytes"],
    }  # fmt: skip
    return made


def _series(column: Column, values: Sequence[Any]) -> pd.Series[Any]:
    import pandas as pd

    if column.words:
        return pd.Series(pd.Categorical(values, categories=column.words, ordered=True))
    if column.kind == "moment":
        # The unit is set, since pandas takes another one where there are no values.
        return pd.Series(pd.to_datetime(pd.Series(values, dtype="float64"), unit="s", utc=True)).dt.as_unit("us")
    kinds = {"text": "string", "number": "Float64", "count": "Int64", "bytes": "Int64", "flag": "boolean"}
    return pd.Series(values, dtype=kinds[column.kind])
