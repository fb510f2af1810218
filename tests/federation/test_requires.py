"""@requires: fields that need other fields of the same object to be sent along."""

from tests.federation.kit import Federation, World, plan, supergraph


async def test_a_required_field_is_fetched_and_sent_along() -> None:
    sdl = supergraph(
        """
        type Query { parcel: Parcel @join__field(graph: A) }
        type Parcel @join__type(graph: A, key: "id") @join__type(graph: B, key: "id") {
          id: ID!
          weight: Int @join__field(graph: A) @join__field(graph: B, external: true)
          postage: Int @join__field(graph: B, requires: "weight")
          carrier: String @join__field(graph: B)
        }
        """,
        "a",
        "b",
    )
    parcel = {"__typename": "Parcel", "id": "p", "weight": 20, "carrier": "Sail"}
    postage = {"Parcel.postage": lambda known, _: known["weight"] * 2}
    federation = Federation(sdl, World({"parcel": parcel}, [parcel], postage))
    query = "{ parcel { postage carrier } }"
    assert federation.plan(query) == plan(
        """
        1 a
          parcel {
            id weight
          }
        2 b after 1
          parcel: Parcel(id weight)
            postage carrier
        """
    )
    assert await federation.data(query) == {"parcel": {"postage": 40, "carrier": "Sail"}}


async def test_requirements_that_require_are_chained() -> None:
    sdl = supergraph(
        """
        type Query { loan: Loan @join__field(graph: A) }
        type Loan @join__type(graph: A, key: "id") @join__type(graph: B, key: "id") @join__type(graph: C, key: "id") {
          id: ID!
          sum: Int @join__field(graph: A) @join__field(graph: B, external: true)
          risk: Int @join__field(graph: B, requires: "sum") @join__field(graph: C, external: true)
          rate: Int @join__field(graph: C, requires: "risk") @join__field(graph: A, external: true)
          offer: Int @join__field(graph: A, requires: "rate")
        }
        """,
        "a",
        "b",
        "c",
    )
    loan = {"__typename": "Loan", "id": "l", "sum": 5, "risk": 6, "rate": 7}
    computed = {
        "Loan.risk": lambda known, _: known["sum"] + 1,
        "Loan.rate": lambda known, _: known["risk"] + 1,
        "Loan.offer": lambda known, _: known["rate"] + 1,
    }
    federation = Federation(sdl, World({"loan": loan}, [loan], computed))
    query = "{ loan { offer } }"
    assert federation.plan(query) == plan(
        """
        1 a
          loan {
            id sum
          }
        2 b after 1
          loan: Loan(id sum)
            risk
        3 c after 2
          loan: Loan(id risk)
            rate
        4 a after 3
          loan: Loan(id rate)
            offer
        """
    )
    assert await federation.data(query) == {"loan": {"offer": 8}}


async def test_circles_between_subgraphs_are_followed_for_as_long_as_fields_differ() -> None:
    sdl = supergraph(
        """
        type Query { tasks: [Task!]! @join__field(graph: A) }
        type Task @join__type(graph: A, key: "id") @join__type(graph: B, key: "id") {
          id: ID!
          owner: Person @join__field(graph: B) @join__field(graph: A, external: true)
          senior: Boolean @join__field(graph: A, requires: "owner { years }") @join__field(graph: B, external: true)
          review: String @join__field(graph: B, requires: "senior")
        }
        type Person @join__type(graph: A, key: "id") @join__type(graph: B, key: "id") {
          id: ID!
          years: Int @join__field(graph: B)  @join__field(graph: A, external: true)
        }
        """,
        "a",
        "b",
    )
    person = {"__typename": "Person", "id": "p", "years": 9}
    task = {"__typename": "Task", "id": "t", "owner": person, "senior": True}
    computed = {
        "Task.senior": lambda known, _: known["owner"]["years"] > 5,
        "Task.review": lambda known, _: "light" if known["senior"] else "full",
    }
    federation = Federation(sdl, World({"tasks": [task]}, [task, person], computed))
    query = "{ tasks { review } }"
    assert federation.plan(query) == plan(
        """
        1 a
          tasks {
            id
          }
        2 b after 1
          tasks: Task(id)
            owner {
              years
            }
        3 a after 2
          tasks: Task(id owner { years })
            senior
        4 b after 3
          tasks: Task(id senior)
            review
        """
    )
    assert await federation.data(query) == {"tasks": [{"review": "light"}]}


async def test_a_requirement_with_arguments_stands_beside_the_clients_own() -> None:
    sdl = supergraph(
        """
        type Query { post: Post @join__field(graph: A) }
        type Post @join__type(graph: A, key: "id") @join__type(graph: B, key: "id") {
          id: ID!
          tags(first: Int!): [String!]! @join__field(graph: A) @join__field(graph: B, external: true)
          related: String @join__field(graph: B, requires: "tags(first: 2)")
        }
        """,
        "a",
        "b",
    )
    post = {"__typename": "Post", "id": "p"}
    computed = {
        "Post.tags": lambda _, arguments: ["x", "y", "z"][: arguments["first"]],
        "Post.related": lambda known, _: "+".join(known.get("tags", ["x", "y"])),
    }
    federation = Federation(sdl, World({"post": post}, [post], computed))
    query = "{ post { tags(first: 1) related } }"
    assert federation.plan(query) == plan(
        """
        1 a
          post {
            tags(first: 1) id _h1: tags(first: 2)
          }
        2 b after 1
          post: Post(id tags=_h1)
            related
        """
    )
    assert await federation.data(query) == {"post": {"tags": ["x"], "related": "x+y"}}
    assert federation.requests[1].variables["representations"] == [
        {"__typename": "Post", "id": "p", "tags": ["x", "y"]}
    ]


async def test_requirements_with_conflicting_arguments_are_sent_apart() -> None:
    sdl = supergraph(
        """
        type Query { item: Item @join__field(graph: A) }
        type Item @join__type(graph: A, key: "id") @join__type(graph: B, key: "id") {
          id: ID!
          price(in: String!): Int @join__field(graph: A) @join__field(graph: B, external: true)
          tax: Int @join__field(graph: B, requires: "price(in: \\"EUR\\")")
          duty: Int @join__field(graph: B, requires: "price(in: \\"USD\\")")
        }
        """,
        "a",
        "b",
    )
    item = {"__typename": "Item", "id": "i"}
    computed = {
        "Item.price": lambda _, arguments: {"EUR": 10, "USD": 20}[arguments["in"]],
        "Item.tax": lambda known, _: known.get("price", 10) + 1,
        "Item.duty": lambda known, _: known.get("price", 20) + 2,
    }
    federation = Federation(sdl, World({"item": item}, [item], computed))
    query = "{ item { tax duty } }"
    assert federation.plan(query) == plan(
        """
        1 a
          item {
            id price(in: "EUR") _h2: price(in: "USD")
          }
        2 b after 1
          item: Item(id price)
            tax
          item: Item(id price=_h2)
            duty
        """
    )
    assert await federation.data(query) == {"item": {"tax": 11, "duty": 22}}


async def test_fragments_in_a_requirement_apply_by_runtime_type() -> None:
    sdl = supergraph(
        """
        type Query { orders: [Order!]! @join__field(graph: A) }
        type Order @join__type(graph: A, key: "id") @join__type(graph: B, key: "id") {
          id: ID!
          place: Place @join__field(graph: A) @join__field(graph: B, external: true)
          route: String @join__field(
            graph: B, requires: "place { ... on Home { street } ... on Locker { code door { number } } }")
        }
        union Place @join__type(graph: A) @join__type(graph: B)
          @join__unionMember(graph: A, member: "Home") @join__unionMember(graph: B, member: "Home")
          @join__unionMember(graph: A, member: "Locker") @join__unionMember(graph: B, member: "Locker")
          = Home | Locker
        type Home @join__type(graph: A) @join__type(graph: B) { street: String! }
        type Locker @join__type(graph: A) @join__type(graph: B) { code: ID! door: Door }
        type Door @join__type(graph: A) @join__type(graph: B) { number: Int! }
        """,
        "a",
        "b",
    )
    home = {"__typename": "Home", "street": "Quay 1"}
    locker = {"__typename": "Locker", "code": "L", "door": {"__typename": "Door", "number": 3}}
    orders = [{"__typename": "Order", "id": str(index), "place": place} for index, place in enumerate((home, locker))]
    computed = {
        "Order.route": lambda known, _: known["place"].get("street") or f"locker {known['place']['door']['number']}"
    }
    federation = Federation(sdl, World({"orders": orders}, orders, computed))
    query = "{ orders { route } }"
    assert federation.plan(query) == plan(
        """
        1 a
          orders {
            id
            place {
              __typename
              ... on Home {
                street
              }
              ... on Locker {
                code
                door {
                  number
                }
              }
            }
          }
        2 b after 1
          orders: Order(id place { ... on Home { street } ... on Locker { code } ... on Locker { door { number } } })
            route
        """
    )
    assert await federation.data(query) == {"orders": [{"route": "Quay 1"}, {"route": "locker 3"}]}
    assert federation.requests[1].variables["representations"] == [
        {"__typename": "Order", "id": "0", "place": {"__typename": "Home", "street": "Quay 1"}},
        {"__typename": "Order", "id": "1", "place": {"__typename": "Locker", "code": "L", "door": {"number": 3}}},
    ]


async def test_null_requirements_are_sent() -> None:
    sdl = supergraph(
        """
        type Query { parcel: Parcel @join__field(graph: A) }
        type Parcel @join__type(graph: A, key: "id") @join__type(graph: B, key: "id") {
          id: ID!
          weight: Int @join__field(graph: A) @join__field(graph: B, external: true)
          postage: Int @join__field(graph: B, requires: "weight")
        }
        """,
        "a",
        "b",
    )
    parcel = {"__typename": "Parcel", "id": "p", "weight": None}
    postage = {"Parcel.postage": lambda known, _: 0 if known["weight"] is None else 1}
    federation = Federation(sdl, World({"parcel": parcel}, [parcel], postage))
    assert await federation.data("{ parcel { postage } }") == {"parcel": {"postage": 0}}
