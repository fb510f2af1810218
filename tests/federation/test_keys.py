"""Keys: how objects are entered in another subgraph."""

from tests.federation.kit import Federation, World, plan, supergraph


async def test_a_key_leads_to_another_subgraph() -> None:
    sdl = supergraph(
        """
        type Query { book: Book @join__field(graph: A) }
        type Book @join__type(graph: A, key: "isbn") @join__type(graph: B, key: "isbn") {
          isbn: ID!
          title: String @join__field(graph: A)
          stock: Int @join__field(graph: B)
        }
        """,
        "a",
        "b",
        "c",
    )
    book = {"__typename": "Book", "isbn": "1", "title": "Tides", "stock": 3}
    federation = Federation(sdl, World({"book": book}, [book]))
    query = "{ book { title stock } }"
    assert federation.plan(query) == plan(
        """
        1 a
          book {
            title isbn
          }
        2 b after 1
          book: Book(isbn)
            stock
        """
    )
    assert await federation.data(query) == {"book": {"title": "Tides", "stock": 3}}
    assert federation.requests[1].document == (
        "query($representations: [_Any!]!) { _entities(representations: $representations) { ... on Book { stock } } }"
    )
    assert federation.requests[1].variables == {"representations": [{"__typename": "Book", "isbn": "1"}]}


async def test_keys_are_chained_through_a_subgraph_that_has_both() -> None:
    sdl = supergraph(
        """
        type Query { user: User @join__field(graph: A) }
        type User
          @join__type(graph: A, key: "id")
          @join__type(graph: B, key: "id") @join__type(graph: B, key: "email")
          @join__type(graph: C, key: "email")
        {
          id: ID! @join__field(graph: A) @join__field(graph: B)
          email: String! @join__field(graph: B) @join__field(graph: C)
          score: Int @join__field(graph: C)
        }
        """,
        "a",
        "b",
        "c",
    )
    user = {"__typename": "User", "id": "u1", "email": "u1@example.com", "score": 7}
    federation = Federation(sdl, World({"user": user}, [user]))
    query = "{ user { score } }"
    assert federation.plan(query) == plan(
        """
        1 a
          user {
            id
          }
        2 b after 1
          user: User(id)
            email
        3 c after 2
          user: User(email)
            score
        """
    )
    assert await federation.data(query) == {"user": {"score": 7}}


async def test_composite_keys_are_sent_whole() -> None:
    sdl = supergraph(
        """
        type Query { seats: [Seat!]! @join__field(graph: A) }
        type Seat
          @join__type(graph: A, key: "row number hall { id }")
          @join__type(graph: B, key: "row number hall { id }")
        {
          row: Int!
          number: Int!
          hall: Hall!
          taken: Boolean! @join__field(graph: B)
        }
        type Hall @join__type(graph: A) @join__type(graph: B) { id: ID! name: String @join__field(graph: A) }
        """,
        "a",
        "b",
        "c",
    )
    hall = {"__typename": "Hall", "id": "h", "name": "Great"}
    seats = [
        {"__typename": "Seat", "row": 1, "number": number, "hall": hall, "taken": number == 2} for number in (1, 2)
    ]
    federation = Federation(sdl, World({"seats": seats}, seats))
    query = "{ seats { number taken } }"
    assert federation.plan(query) == plan(
        """
        1 a
          seats {
            number row
            hall {
              id
            }
          }
        2 b after 1
          seats: Seat(row number hall { id })
            taken
        """
    )
    assert await federation.data(query) == {"seats": [{"number": 1, "taken": False}, {"number": 2, "taken": True}]}
    assert federation.requests[1].variables["representations"][0] == {
        "__typename": "Seat",
        "row": 1,
        "number": 1,
        "hall": {"id": "h"},
    }


async def test_part_of_a_key_comes_from_a_third_subgraph() -> None:
    sdl = supergraph(
        """
        type Query { basket: Basket @join__field(graph: A) }
        type Basket
          @join__type(graph: A, key: "items { id }")
          @join__type(graph: B, key: "items { id sku }")
        {
          items: [Item!]!
          total: Int @join__field(graph: B)
        }
        type Item @join__type(graph: A, key: "id") @join__type(graph: B) @join__type(graph: C, key: "id") {
          id: ID!
          sku: String! @join__field(graph: B) @join__field(graph: C)
        }
        """,
        "a",
        "b",
        "c",
    )
    items = [{"__typename": "Item", "id": str(number), "sku": f"s{number}"} for number in (1, 2)]
    basket = {"__typename": "Basket", "items": items, "total": 30}
    federation = Federation(sdl, World({"basket": basket}, [basket, *items]))
    query = "{ basket { total } }"
    assert federation.plan(query) == plan(
        """
        1 a
          basket {
            items {
              id
            }
          }
        2 c after 1
          basket.items: Item(id)
            sku
        3 b after 2
          basket: Basket(items { id sku })
            total
        """
    )
    assert await federation.data(query) == {"basket": {"total": 30}}


async def test_keys_that_are_not_resolvable_lead_nowhere() -> None:
    sdl = supergraph(
        """
        type Query { review: Review @join__field(graph: A) }
        type Review @join__type(graph: A) { product: Product }
        type Product @join__type(graph: A, key: "id", resolvable: false) @join__type(graph: B, key: "id") {
          id: ID!
          name: String @join__field(graph: B)
          rating: Int @join__field(graph: A)
        }
        """,
        "a",
        "b",
        "c",
    )
    product = {"__typename": "Product", "id": "p", "name": "Lamp", "rating": 4}
    federation = Federation(sdl, World({"review": {"__typename": "Review", "product": product}}, [product]))
    query = "{ review { product { name rating } } }"
    assert federation.plan(query) == plan(
        """
        1 a
          review {
            product {
              id rating
            }
          }
        2 b after 1
          review.product: Product(id)
            name
        """
    )
    assert await federation.data(query) == {"review": {"product": {"name": "Lamp", "rating": 4}}}


async def test_objects_with_a_null_key_are_not_asked_for() -> None:
    sdl = supergraph(
        """
        type Query { books: [Book] @join__field(graph: A) }
        type Book @join__type(graph: A, key: "isbn") @join__type(graph: B, key: "isbn") {
          isbn: ID
          stock: Int @join__field(graph: B)
        }
        """,
        "a",
        "b",
        "c",
    )
    known = {"__typename": "Book", "isbn": "1", "stock": 3}
    unknown = {"__typename": "Book", "isbn": None, "stock": None}
    federation = Federation(sdl, World({"books": [unknown, None, known]}, [known]))
    assert await federation.data("{ books { stock } }") == {"books": [{"stock": None}, None, {"stock": 3}]}
    assert federation.requests[1].variables == {"representations": [{"__typename": "Book", "isbn": "1"}]}


async def test_equal_representations_are_sent_once_and_distinct_ones_kept_apart() -> None:
    sdl = supergraph(
        """
        type Query { things: [Thing!]! @join__field(graph: A) }
        scalar Any @join__type(graph: A) @join__type(graph: B)
        type Thing @join__type(graph: A, key: "id") @join__type(graph: B, key: "id") {
          id: Any!
          name: String @join__field(graph: B)
        }
        """,
        "a",
        "b",
        "c",
    )
    one = {"__typename": "Thing", "id": "1", "name": "text"}
    two = {"__typename": "Thing", "id": 1, "name": "number"}
    federation = Federation(sdl, World({"things": [one, two, one]}, [one, two]))
    assert await federation.data("{ things { name } }") == {
        "things": [{"name": "text"}, {"name": "number"}, {"name": "text"}]
    }
    assert [each["id"] for each in federation.requests[1].variables["representations"]] == ["1", 1]
