"""@provides: fields that a subgraph resolves on one route only."""

from tests.federation.kit import Federation, World, plan, supergraph


async def test_a_provided_field_needs_no_second_request_on_its_route_only() -> None:
    sdl = supergraph(
        """
        type Query { review: Review @join__field(graph: A) }
        type Review @join__type(graph: A) {
          author: User @join__field(graph: A, provides: "name")
          editor: User @join__field(graph: A)
        }
        type User @join__type(graph: A, key: "id") @join__type(graph: B, key: "id") {
          id: ID!
          name: String @join__field(graph: A, external: true) @join__field(graph: B)
        }
        """,
        "a",
        "b",
    )
    user = {"__typename": "User", "id": "u", "name": "Ada"}
    review = {"__typename": "Review", "author": user, "editor": user}
    federation = Federation(sdl, World({"review": review}, [user]))
    assert federation.plan("{ review { author { name } } }") == plan(
        """
        1 a
          review {
            author {
              name
            }
          }
        """
    )
    query = "{ review { author { name } editor { name } } }"
    assert federation.plan(query) == plan(
        """
        1 a
          review {
            author {
              name
            }
            editor {
              id
            }
          }
        2 b after 1
          review.editor: User(id)
            name
        """
    )
    assert await federation.data(query) == {"review": {"author": {"name": "Ada"}, "editor": {"name": "Ada"}}}


async def test_what_is_provided_reaches_down_several_levels() -> None:
    sdl = supergraph(
        """
        type Query { shelf: Shelf @join__field(graph: A, provides: "books { author { name } }") }
        type Shelf @join__type(graph: A, key: "id") @join__type(graph: B, key: "id") {
          id: ID!
          books: [Book!] @join__field(graph: A, external: true) @join__field(graph: B)
        }
        type Book @join__type(graph: A, key: "id") @join__type(graph: B, key: "id") {
          id: ID!
          author: Author @join__field(graph: A, external: true) @join__field(graph: B)
        }
        type Author @join__type(graph: A, key: "id") @join__type(graph: B, key: "id") {
          id: ID!
          name: String @join__field(graph: A, external: true) @join__field(graph: B)
          born: Int @join__field(graph: B)
        }
        """,
        "a",
        "b",
    )
    author = {"__typename": "Author", "id": "a", "name": "Ursula", "born": 1929}
    book = {"__typename": "Book", "id": "b", "author": author}
    shelf = {"__typename": "Shelf", "id": "s", "books": [book]}
    federation = Federation(sdl, World({"shelf": shelf}, [author, book, shelf]))
    query = "{ shelf { books { author { name born } } } }"
    assert federation.plan(query) == plan(
        """
        1 a
          shelf {
            books {
              author {
                name id
              }
            }
          }
        2 b after 1
          shelf.books.author: Author(id)
            born
        """
    )
    assert await federation.data(query) == {"shelf": {"books": [{"author": {"name": "Ursula", "born": 1929}}]}}


MEDIA = """
    type Query { media: [Media!]! @join__field(graph: A, provides: "%s") }
    %s
    type Film @join__type(graph: A, key: "id") @join__type(graph: B, key: "id") %s {
      id: ID!
      title: String @join__field(graph: A, external: true) @join__field(graph: B)
    }
    type Song @join__type(graph: A, key: "id") @join__type(graph: B, key: "id") %s {
      id: ID!
      title: String @join__field(graph: A, external: true) @join__field(graph: B)
    }
"""
FILM = {"__typename": "Film", "id": "f", "title": "Stalker"}
SONG = {"__typename": "Song", "id": "s", "title": "Hallogallo"}


async def test_fields_can_be_provided_for_one_member_of_a_union() -> None:
    union = """
    union Media @join__type(graph: A) @join__unionMember(graph: A, member: "Film")
      @join__unionMember(graph: A, member: "Song") = Film | Song
    """
    sdl = supergraph(MEDIA % ("... on Film { title }", union, "", ""), "a", "b")
    federation = Federation(sdl, World({"media": [FILM, SONG]}, [FILM, SONG]))
    query = "{ media { ... on Film { title } ... on Song { title } } }"
    assert federation.plan(query) == plan(
        """
        1 a
          media {
            __typename
            ... on Film {
              title
            }
            ... on Song {
              id
            }
          }
        2 b after 1
          media[Song]: Song(id)
            title
        """
    )
    assert await federation.data(query) == {"media": [{"title": "Stalker"}, {"title": "Hallogallo"}]}


async def test_fields_of_an_interface_can_be_provided() -> None:
    interface = "interface Media @join__type(graph: A) { id: ID! title: String }"
    implements = '@join__implements(graph: A, interface: "Media")'
    sdl = supergraph(MEDIA % ("title", interface, implements, implements), "a", "b").replace(
        "type Film", "type Film implements Media"
    )
    sdl = sdl.replace("type Song", "type Song implements Media")
    federation = Federation(sdl, World({"media": [FILM, SONG]}, [FILM, SONG]))
    query = "{ media { title } }"
    assert federation.plan(query) == plan(
        """
        1 a
          media {
            __typename title
          }
        """
    )
    assert await federation.data(query) == {"media": [{"title": "Stalker"}, {"title": "Hallogallo"}]}
