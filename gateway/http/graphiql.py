"""GraphiQL, at the endpoint's own address.

`docs/decisions/graphiql.md` has what was chosen and why; `static/graphiql/VERSIONS.md` what is vendored.
"""

from pathlib import Path

from gateway.http.page import Page

_FILES = Path(__file__).parent / "static" / "graphiql"


class GraphiQL(Page):
    """The page; reads about 1.2 MB of files when it is made.

    Args:
        path: where the GraphQL endpoint is.
    """

    def __init__(self, path: str = "/graphql") -> None:
        super().__init__(_FILES, path, "graphiql-asset")
