"""What the edge promises, and the test over a socket that holds it to each promise."""

from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"

_EDGE = "tests/conformance/test_edge.py"
_HTTP = "tests/gateway/http"
_ATTACKS = "tests/attacks/test_attacks.py"
_ATTACK = f"{_ATTACKS}::test_an_attack_gets_a_clean_answer_and_nobody_else_notices"
_COP = f"{_ATTACKS}::test_graphql_cop_finds_nothing"
_LIMIT = f"{_EDGE}::test_what_is_allowed_is_looked_at_and_one_more_is_refused"
_IDENTITY = "tests/gateway/identity"
_SOCKETS = "tests/gateway/subscriptions"
_BODIES = "tests/e2e/test_bodies.py"
_FLIGHTS = "tests/gateway/test_flights.py"

PROMISES: dict[str, dict[str, tuple[str, ...]]] = {
    "GraphQL over HTTP": {
        "`auditServer`: 61 of 61, none a warning": (
            "tests/conformance/test_graphql_over_http.py::test_every_audit_is_ok_and_none_is_a_warning",
        ),
        "GET for queries only": (f"{_EDGE}::test_get_is_for_queries_only", _COP),
        "media type and status by Accept": (f"{_EDGE}::test_accept_decides_the_media_type_and_the_status",),
        "arrays: off by default, capped when on": (_COP, f"{_BODIES}::test_what_is_no_batch_is_refused_whole"),
        "uploads when a schema has Upload": (
            f"{_BODIES}::test_a_file_is_a_variable_and_closed_when_the_request_ends",
            f"{_BODIES}::test_without_configuration_arrays_are_refused_and_files_and_answers_are_left_as_they_are",
        ),
        "APQ: SHA-256, bounded, shared through Redis": (
            "tests/e2e/test_persisted.py::test_a_hash_of_another_document_is_refused_and_not_kept",
            "tests/e2e/test_persisted.py::test_no_more_is_kept_than_may_be",
            "tests/e2e/test_persisted.py::test_instances_share_documents_through_redis",
        ),
        "safelist: log or enforce, over sockets and streams, too": (
            "tests/e2e/test_persisted.py::test_any_other_operation_is_refused_before_it_is_looked_at",
            "tests/e2e/test_persisted.py::test_in_the_log_mode_others_are_answered_and_told_of_once",
            f"{_SOCKETS}/test_edge.py::test_only_the_safelists_operations_are_run",
        ),
        "data, errors, extensions in that order": (f"{_EDGE}::test_entries_of_an_answer_come_in_their_order",),
        "compressed when asked": (f"{_BODIES}::test_large_answers_are_compressed_for_clients_that_ask_for_it",),
        "a body is built once": (f"{_FLIGHTS}::test_the_body_is_made_once",),
        "identical queries share an execution; never callers, scopes, tenants or headers": (
            f"{_FLIGHTS}::test_queries_alike_share_an_execution_and_each_keeps_its_ids",
            f"{_FLIGHTS}::test_another_caller_or_header_has_its_own_execution",
            f"{_FLIGHTS}::test_tokens_of_other_scopes_or_tenants_have_their_own_execution",
        ),
    },
    "Errors": {
        "one shape; code, category, request id, time": (
            f"{_EDGE}::test_an_error_has_one_shape_whatever_went_wrong",
            "tests/gateway/test_errors.py::test_retry_after_is_passed_on",
        ),
        "codes are one table, the docs are made of it": (
            f"{_HTTP}/test_errors.py::test_the_tree_of_refusals_has_these_codes_and_statuses",
            "tests/gateway/test_reference.py::test_the_page_in_the_docs_is_the_generated_one",
        ),
        "the rest is one sentence and a request id, the cause in the log": (
            "tests/gateway/test_errors.py::test_a_crash_is_masked_and_its_cause_goes_to_the_log",
            "tests/attacks/test_canary.py::test_exceptions_and_services_that_cannot_be_reached",
        ),
        "other endpoints answer one envelope": (
            f"{_EDGE}::test_endpoints_that_are_not_graphql_answer_the_same_envelope",
        ),
    },
    "Limits": {
        "tokens, depth, aliases, directives, root fields, selections, variables, strings, body": (_LIMIT,),
        "refused before execution, with no call upstream": (_LIMIT, _ATTACK),
        "a body after decompression": (f"{_BODIES}::test_the_limit_is_that_of_what_a_compressed_body_stands_for",),
        "a doubled fragment bomb, 500 levels, circles, 100,000 aliases": (_ATTACK,),
        "static cost: off; log or enforce; over sockets and streams, too": (
            f"{_EDGE}::test_no_limit_of_rate_and_no_cost_is_there_until_it_is_asked_for",
            f"{_HTTP}/test_cost.py::test_an_operation_that_costs_too_much_is_refused_before_it_is_executed",
            f"{_HTTP}/test_cost.py::test_logging_refuses_nothing",
            f"{_SOCKETS}/test_edge.py::test_what_may_cost_too_much_is_refused",
        ),
        "1,000 representations a call": (
            "tests/gateway/federation/test_remote.py::test_a_thousand_representations_are_one_call_and_more_are_several",
        ),
        "an upstream's body: 10 MB after decompression": (
            f"{_EDGE}::test_an_upstreams_body_ends_at_10_mb_after_decompression",
        ),
        "shed with 503 and Retry-After, probes exempt, requests counted": (
            "tests/e2e/test_overload.py::test_a_full_gateway_refuses_and_says_so_and_its_probes_go_on",
            f"{_SOCKETS}/test_websocket.py::test_open_sockets_are_no_requests_in_flight_and_executing_operations_are",
        ),
    },
    "Who may do what": {
        "CSRF": (f"{_EDGE}::test_what_a_page_of_another_site_can_make_a_browser_send_is_refused",),
        "introspection, GraphiQL, suggestions: off in production": (
            _COP,
            "tests/e2e/test_graphiql.py::test_in_production_there_is_no_graphiql_and_no_introspection",
        ),
        "JWT: JWKS, issuer, audience, algorithm": (
            f"{_IDENTITY}/test_tokens.py::test_forged_tokens_are_refused",
            f"{_IDENTITY}/test_tokens.py::test_each_algorithm_is_checked_with_a_key_of_its_own_kind",
            f"{_IDENTITY}/test_keys.py::test_a_key_that_is_withdrawn_ends_its_tokens_remembered_ones_too",
        ),
        "headers from a named proxy only": (
            f"{_IDENTITY}/test_proxies.py::test_from_anywhere_else_its_headers_are_ignored",
            f"{_EDGE}::test_a_tenant_and_a_user_that_a_client_claims_are_nobodys",
        ),
        "a tenant header that disagrees with the credential": (
            f"{_IDENTITY}/test_proxies.py::test_a_tenant_header_that_disagrees_with_the_token_is_refused",
        ),
        "`@authenticated`, `@requiresScopes`; of subscriptions, too": (
            "tests/e2e/test_authorization.py::test_directives_of_subgraphs_and_of_this_process_are_honoured_in_one_graph",
            "tests/e2e/test_authorization.py::test_no_call_is_made_for_declared_fields_that_are_withheld",
            f"{_SOCKETS}/test_edge.py::test_of_each_event_what_its_subscriber_may_not_see_is_null_with_an_error",
            f"{_SOCKETS}/test_edge.py::test_a_subscription_that_its_caller_may_not_see_does_not_begin",
        ),
        "operations need the scope or the admin token; guesses are limited": (
            f"{_EDGE}::test_operators_fields_mutations_and_pages_are_for_nobody_until_it_is_said_who_may",
            f"{_IDENTITY}/test_operators.py::test_a_token_with_the_scope_makes_an_operator",
            f"{_IDENTITY}/test_operators.py::test_guessing_the_admin_token_is_slow",
        ),
        "headers to upstreams: an allow-list; never hop by hop": (
            f"{_EDGE}::test_of_a_clients_headers_none_but_the_ids_go_upstream",
            f"{_HTTP}/test_edge_headers.py::test_what_connection_names_is_for_the_gateway_alone",
        ),
        "headers from upstreams: by configuration": (
            f"{_HTTP}/test_edge_headers.py::test_nothing_of_an_upstream_s_headers_reaches_the_client_by_itself",
        ),
        "correlation ids are clean or new": (
            f"{_HTTP}/test_edge_headers.py::test_a_correlation_id_that_is_not_clean_is_replaced",
        ),
        "no redirects, no proxies of the environment": (
            f"{_HTTP}/test_edge_headers.py::test_a_redirect_of_an_upstream_is_not_followed",
            f"{_HTTP}/test_edge_headers.py::test_a_proxy_of_the_environment_is_not_used",
        ),
        "rate limit: off; by principal or address, with Redis": (
            f"{_EDGE}::test_no_limit_of_rate_and_no_cost_is_there_until_it_is_asked_for",
            f"{_IDENTITY}/test_rate.py::test_who_asks_too_often_is_told_to_wait_and_others_are_not",
            f"{_IDENTITY}/test_rate.py::test_processes_count_together_through_redis_and_alone_without_it",
        ),
        "CORS: denied by default": (
            f"{_EDGE}::test_pages_of_other_origins_are_told_nothing",
            f"{_HTTP}/test_edge_cors.py::test_a_configured_origin_may_ask_and_no_other",
        ),
        "GraphiQL from this host alone, with a CSP": (
            f"{_HTTP}/test_graphiql.py::test_the_page_names_files_of_this_host_only",
            "tests/e2e/test_graphiql.py::test_a_query_is_asked_and_answered_in_the_browser",
        ),
        "WebSocket: one subprotocol, init timeout, caps, origins, credentials that end": (
            f"{_SOCKETS}/test_websocket.py::test_another_subprotocol_closes_with_4406",
            f"{_SOCKETS}/test_websocket.py::test_who_does_not_initialise_in_time_is_closed_with_4408_and_who_does_stays",
            f"{_SOCKETS}/test_websocket.py::test_one_more_than_allowed_is_an_error_and_a_flood_leaves_nothing",
            f"{_SOCKETS}/test_websocket.py::test_a_page_of_another_origin_may_not_connect_and_one_of_the_gateway_may",
            f"{_SOCKETS}/test_edge.py::test_a_connection_ends_when_its_token_does",
        ),
        "TLS to upstreams verified, own authorities, client certificates": (
            "tests/gateway/test_auth.py::test_a_service_may_have_an_authority_of_its_own_and_ask_for_a_certificate",
        ),
    },
    "Under attack": {
        "the list of attacks; graphql-cop 12 of 12": (
            _ATTACK,
            _COP,
            f"{_ATTACKS}::test_all_of_it_leaves_memory_as_it_was",
        ),
        "fuzzed operations, bodies and heads": (
            "tests/attacks/test_canary.py::test_requests_that_nobody_would_write_get_clean_answers_and_learn_no_secret",
        ),
        "a canary in errors, exceptions, headers and URLs shows nowhere": (
            "tests/attacks/test_canary.py::test_a_service_of_the_gateways_own_schema",
            "tests/attacks/test_canary.py::test_a_subgraph",
            "tests/attacks/test_canary.py::test_no_line_of_the_whole_log_has_it",
        ),
        "a rolling restart under load fails no request": (
            "tests/e2e/test_rolling_restart.py::test_gateways_replaced_one_by_one_under_load_fail_no_request",
        ),
    },
}


def edge_table() -> list[str]:
    """The lines of the section."""
    lines = [
        "## The edge",
        "",
        "Each promise is held to by tests over a socket, which `make test` runs; a test that is not there fails it.",
        "",
        "| promise | tests | result |",
        "|---|---|---|",
    ]
    for topic, promises in PROMISES.items():
        lines.append(f"| **{topic}** | | |")
        for promise, tests in promises.items():
            named = "<br>".join(f"`{test.removeprefix('tests/')}`" for test in tests)
            lines.append(f"| {promise} | {named} | ok |")
    return [*lines, ""]
