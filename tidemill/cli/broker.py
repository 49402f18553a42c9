"""`tidemill broker`: where devices publish, and as whom."""

from typing import TYPE_CHECKING
from urllib.parse import quote

import typer

from tidemill.cli.options import Json
from tidemill.cli.output import print_json
from tidemill.cli.session import connect

if TYPE_CHECKING:
    from schemas.views import BrokerView


def broker(context: typer.Context, as_json: Json = False) -> None:
    """Print the URL by which devices reach the broker; with an embedded one, its account is in it."""
    with connect(context) as client:
        view = client.broker()
    if as_json:
        print_json(view.model_dump(mode="json"))
    else:
        typer.echo(full_url(view))


def full_url(view: "BrokerView") -> str:
    """The URL with the account, if there is one."""
    if view.username is None:
        return view.url
    scheme, _, place = view.url.partition("://")
    return f"{scheme}://{quote(view.username, safe='')}:{quote(view.password or '', safe='')}@{place}"
