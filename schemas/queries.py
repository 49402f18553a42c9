"""Which rows a job trains on: its queries, and the rows that it never sees."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from schemas.names import Identifier
from schemas.written import OneOrMore, Written

Format = Literal["json", "ndjson", "csv", "parquet"]
"""How rows are written for the scripts, and the ending of the file's name."""

Sql = Annotated[str, Field(min_length=1, max_length=100_000)]


class Query(Written):
    """Rows for the scripts: one SELECT over collections, or over a database that the controller was told of."""

    query: Sql
    new_data_only: bool = False
    collection: OneOrMore[Identifier] = ()  # whose new rows are meant: one, or several
    format: Format = "json"
    source: Identifier | None = None  # a database named in controller.toml; default: the collections

    @model_validator(mode="after")
    def _names_its_collection(self) -> "Query":
        if self.new_data_only and not self.collection:
            raise ValueError("new_data_only needs `collection`: the one whose new rows are meant")
        if self.new_data_only and self.source is not None:
            raise ValueError("new_data_only works on collections; rows of another database are not known by position")
        if len(set(self.collection)) != len(self.collection):
            raise ValueError("a collection is named twice")
        return self

    @property
    def new_in(self) -> tuple[str, ...]:
        """The collections of which only new rows are selected."""
        return self.collection if self.new_data_only else ()


class Holdout(Written):
    """Rows that no run of the job trains on: a share of those that the query's collections have, and will have.

    Which rows is decided by a hash of ``seed`` and each row's position, so it is the same for every run.
    """

    query: Sql
    fraction: Annotated[float, Field(gt=0, lt=1)] = 0.1
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    format: Format = "json"
