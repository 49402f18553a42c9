"""A whole controller whose two databases are on PostgreSQL."""

from pathlib import Path

from tests.integration.site import controller
from tests.postgres import PostgresServer

FLEET = """
kind: Collection
name: press
columns: {label: text, force: real}
---
kind: Job
name: retrain
model: press
edge: press-1
scripts: [train.py]
queries: [{query: "SELECT label, force::numeric(9, 3) AS force FROM press WHERE label ~ '^a'", new_data_only: true,
  collection: press}, {query: "SELECT number FROM orders", source: erp}]
"""


def test_a_controller_lives_on_postgresql(postgres: PostgresServer, tmp_path: Path) -> None:
    """Documents, rows and positions are kept there over a restart, and queries are checked in PostgreSQL's own SQL."""
    with postgres.database() as control_url, postgres.database() as collections_url:
        plain = collections_url.replace("+psycopg", "")
        more = f'control_url = "{control_url}"\ncollections_url = "{plain}"\n[sources]\nerp = "{plain}"\n'
        (tmp_path / "train.py").write_text("print('trained')\n")
        (tmp_path / "rows.csv").write_text("label,force\na,1.5\nb,2.5\n")
        with controller(tmp_path, more=more) as site:
            assert site.run("edge", "add", "press-1", "--output", "press-1.toml").returncode == 0
            done = site.apply(FLEET)
            assert done.returncode == 0, done.stderr
            assert site.run("collection", "import", "press", "rows.csv").returncode == 0
            wrong = site.apply(FLEET.replace("SELECT label", "SELECT colour"))
            assert 'column "colour" does not exist' in wrong.stderr
            token = site.token
        with controller(tmp_path, more=more, token=token) as site:
            (collection,) = site.ask("collection", "list")
            assert (collection["spec"]["name"], collection["rows"], collection["last_position"]) == ("press", 2, 2)
            assert [job["spec"]["name"] for job in site.ask("job", "list")] == ["retrain"]
        assert not list((tmp_path / "controller-data").glob("*.db"))
