"""Fields that several subgraphs resolve: roots, value types, and the query root inside the response."""

from tests.federation.kit import Federation, World, plan, supergraph


async def test_shared_roots_are_asked_side_by_side_and_merged_item_by_item() -> None:
    sdl = supergraph(
        """
        type Query { book: Book books: [Book!]! }
        type Book @join__type(graph: A) @join__type(graph: B) @join__type(graph: C) {
          id: ID!
          name: Name @join__field(graph: A) @join__field(graph: B)
          price: Int @join__field(graph: B)
          pages: Int @join__field(graph: C)
        }
        type Name @join__type(graph: A) @join__type(graph: B) {
          first: String @join__field(graph: A)
          last: String @join__field(graph: B)
        }
        """,
        "a",
        "b",
        "c",
    )
    name = {"__typename": "Name", "first": "Moby", "last": "Dick"}
    book = {"__typename": "Book", "id": "1", "name": name, "price": 9, "pages": 600}
    federation = Federation(sdl, World({"book": book, "books": [book]}))
    query = "{ book { id name { first last } price pages } books { price pages } }"
    assert federation.plan(query) == plan(
        """
        1 a
          book {
            name {
              first
            }
            id
          }
        2 b
          book {
            name {
              last
            }
            price
          }
          books {
            price
          }
        3 c
          book {
            pages
          }
          books {
            pages
          }
        """
    )
    assert await federation.data(query) == {
        "book": {"id": "1", "name": {"first": "Moby", "last": "Dick"}, "price": 9, "pages": 600},
        "books": [{"price": 9, "pages": 600}],
    }


async def test_a_value_type_is_completed_by_entering_its_owner_again() -> None:
    sdl = supergraph(
        """
        type Query { hotel: Hotel @join__field(graph: A) }
        type Hotel @join__type(graph: A, key: "id") @join__type(graph: B, key: "id") { id: ID! address: Address }
        type Address @join__type(graph: A) @join__type(graph: B) {
          street: String @join__field(graph: A)
          map: Map @join__field(graph: B)
        }
        type Map @join__type(graph: B, key: "tile") @join__type(graph: C, key: "tile") {
          tile: ID!
          scale: Int @join__field(graph: C)
        }
        """,
        "a",
        "b",
        "c",
    )
    tile = {"__typename": "Map", "tile": "t", "scale": 25}
    address = {"__typename": "Address", "street": "Pier 1", "map": tile}
    hotel = {"__typename": "Hotel", "id": "h", "address": address}
    federation = Federation(sdl, World({"hotel": hotel}, [hotel, tile]))
    query = "{ hotel { address { street map { scale } } } }"
    assert federation.plan(query) == plan(
        """
        1 a
          hotel {
            address {
              street
            }
            id
          }
        2 b after 1
          hotel: Hotel(id)
            address {
              map {
                tile
              }
            }
        3 c after 2
          hotel.address.map: Map(tile)
            scale
        """
    )
    assert await federation.data(query) == {"hotel": {"address": {"street": "Pier 1", "map": {"scale": 25}}}}


async def test_the_query_root_can_be_entered_from_inside_the_response() -> None:
    sdl = supergraph(
        """
        type Query { session: Session @join__field(graph: A) hello: String @join__field(graph: B) }
        type Session @join__type(graph: A) { user: String query: Query }
        """,
        "a",
        "b",
    )
    root = {"__typename": "Query"}
    world = World({"session": {"__typename": "Session", "user": "kim", "query": root}, "hello": "hi"})
    federation = Federation(sdl, world)
    query = "{ session { user query { __typename hello session { user } } } }"
    assert federation.plan(query) == plan(
        """
        1 a
          session {
            user
            query {
              __typename
              session {
                user
              }
            }
          }
        2 b at session.query after 1
          hello
        """
    )
    assert await federation.data(query) == {
        "session": {"user": "kim", "query": {"__typename": "Query", "hello": "hi", "session": {"user": "kim"}}}
    }


async def test_an_operation_that_one_subgraph_answers_goes_there_whole() -> None:
    sdl = supergraph("type Query { a: Int b: Int @join__field(graph: B) c: Int }", "a", "b")
    federation = Federation(sdl, World({"a": 1, "b": 2, "c": 3}))
    assert federation.plan("{ a b c }") == plan(
        """
        1 b
          b a c
        """
    )
    assert await federation.data("{ a b c }") == {"a": 1, "b": 2, "c": 3}
