import json
from typing import Any
from urllib.parse import urlencode

import pytest

from gateway.http import GraphQLParams, ParamLimits
from gateway.http.errors import LimitExceeded, MalformedRequest
from gateway.http.params import from_body, from_query_string

SMALL = ParamLimits(max_map_bytes=100, max_nesting=3)


def body(**params: Any) -> bytes:
    return json.dumps(params).encode()


def test_a_body_gives_all_four_parameters() -> None:
    params = from_body(body(query="{a}", operationName="A", variables={"v": [1, None]}, extensions={"e": {}}))
    assert params == GraphQLParams("{a}", "A", {"v": [1, None]}, {"e": {}}, b'{"v": [1, null]}')


def test_an_address_gives_all_four_parameters() -> None:
    query = urlencode({"query": "{a}", "operationName": "A", "variables": '{"v":[1,null]}', "extensions": '{"e":{}}'})
    params = from_query_string(query.encode())
    assert params == GraphQLParams("{a}", "A", {"v": [1, None]}, {"e": {}}, b'{"v":[1,null]}')


@pytest.mark.parametrize(
    "content", [b"{}", b' {"query": null, "operationName": null, "variables": null, "extensions": null}\n']
)
def test_parameters_left_out_or_null_are_none_or_empty(content: bytes) -> None:
    assert from_body(content) == GraphQLParams(None, None, {}, {}, b"null")


def test_an_address_without_parameters_has_none() -> None:
    assert from_query_string(b"") == GraphQLParams(None, None, {}, {}, b"null")


def test_an_empty_operation_name_is_none_in_an_address_only() -> None:
    assert from_query_string(b"operationName=").operation_name is None
    assert from_body(body(operationName="")).operation_name == ""


@pytest.mark.parametrize("more", [{"id": 1}, {"operationname": 1, "Query": []}, {"": {"query": "x"}}])
def test_unknown_keys_are_ignored(more: dict[str, Any]) -> None:
    assert from_body(body(query="{a}", **more)).query == "{a}"
    assert from_query_string(urlencode({"query": "{a}", **more}).encode()).query == "{a}"


def test_text_is_kept_as_it_was_sent() -> None:
    text = '{ a(s: "é€😀\t") }\r\n# +%41 \0'
    assert from_body(body(query=text)).query == text
    assert from_body(json.dumps({"query": text}, ensure_ascii=False).encode()).query == text
    assert from_query_string(urlencode({"query": text}).encode()).query == text


def test_a_missing_query_is_told_by_whoever_needs_it() -> None:
    assert GraphQLParams("{a}").require_query() == "{a}"
    with pytest.raises(MalformedRequest, match='"query" is missing'):
        GraphQLParams().require_query()


@pytest.mark.parametrize("value", [0, 1.5, True, ["{a}"], {"a": 1}])
@pytest.mark.parametrize("name", ["query", "operationName"])
def test_a_parameter_that_must_be_a_string_is_refused_as_anything_else(name: str, value: Any) -> None:
    with pytest.raises(MalformedRequest, match=f'The parameter "{name}" must be a string.'):
        from_body(body(**{name: value}))


@pytest.mark.parametrize("value", [0, 1.5, True, "{}", [], [{}]])
@pytest.mark.parametrize("name", ["variables", "extensions"])
def test_a_parameter_that_must_be_an_object_is_refused_as_anything_else(name: str, value: Any) -> None:
    with pytest.raises(MalformedRequest, match=f'The parameter "{name}" must be a JSON object.'):
        from_body(body(query="{a}", **{name: value}))
    with pytest.raises(MalformedRequest, match=f'The parameter "{name}" must be a JSON object.'):
        from_query_string(urlencode({name: json.dumps(value)}).encode())


@pytest.mark.parametrize("name", ["variables", "extensions"])
@pytest.mark.parametrize("text", ["", "{", "{'a':1}", "undefined", '{"a":1}}', '{"a":NaN}', '{"a":"\\ud800"}'])
def test_a_map_that_is_not_json_is_refused(name: str, text: str) -> None:
    with pytest.raises(MalformedRequest, match=f'The parameter "{name}" is not JSON'):
        from_query_string(urlencode({name: text}).encode())


@pytest.mark.parametrize("number", ["1e999", "-1e999", "1" * 5_000], ids=["1e999", "-1e999", "5000 digits"])
@pytest.mark.parametrize("where", ['{"a":%s}', '{"a":[{"b":%s}]}', ' {"a":%s}'])
def test_a_number_out_of_range_is_refused_as_such(where: str, number: str) -> None:
    text = where % number
    with pytest.raises(MalformedRequest, match=r'The parameter "variables" cannot be read: .*out of range'):
        from_body(f'{{"query":"x","variables":{text}}}'.encode())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "The body is empty"),
        (b" \n\t ", "The body is empty"),
        (b"query", "The body is not JSON"),
        (b"{", "The body is not JSON"),
        (b"{'query':'a'}", "The body is not JSON"),
        (b'{"query":"a"} x', "The body is not JSON"),
        (b'{"query":"a",}', "The body is not JSON"),
        (b'{"query":"a"}{"query":"b"}', "The body is not JSON"),
        (b'{"query":"a\nb"}', "The body is not JSON"),
        (b'{"query":NaN}', "The body is not JSON"),
        (b"\x00" * 50, "The body is not JSON"),
        (b'{"query":"a\x00"}', "The body is not JSON"),
        (b'{"query":"a"}\x00', "The body is not JSON"),
        (b'{"query":"\\ud800"}', "The body is not JSON"),
        (b'\xef\xbb\xbf{"query":"a"}', "The body is not JSON"),
        (b'{"query":"a","x":01}', "The body is not JSON"),
        (b'{"query":"\xff"}', "The body is not UTF-8"),
        (b'{"operationName":"\xed\xa0\x80"}', "The body is not UTF-8"),
        (b'{"query":"a","x":"\xff"}', "The body is not UTF-8"),
        (b'{"\xff":"a"}', "The body is not UTF-8"),
        (b'{"query":"a","variables":{"a":"\xff"}}', "The body is not UTF-8"),
        (b"\xff\xfe{\x00}\x00", "The body is not UTF-8"),
        (b"null", "The body must be a JSON object"),
        (b'"{a}"', "The body must be a JSON object"),
        (b"1", "The body must be a JSON object"),
        (b"[]", "batches are not accepted"),
        (b'[{"query":"a"}]', "batches are not accepted"),
    ],
)
def test_a_body_that_is_not_a_json_object_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(MalformedRequest, match=message):
        from_body(content)


@pytest.mark.parametrize(
    "content",
    [
        b'{"query":"a","query":"b"}',
        b'{"query":"a","query":"a"}',
        b'{"query":"a","query":null}',
        b'{"variables":{},"query":"a","variables":{"a":1}}',
        b'{"query":"a","\\u0071uery":"b"}',
        b'{"\\u0071uery":"a","quer\\u0079":"b"}',
        b'{"operationName":"a","operationName" : "b","query":"c"}',
        b'{"extensions":{},"extensions":{}}',
        b'{"documentId":"a","query":"b","documentId":null}',
        b'{"query":1,"query":"a"}',
    ],
)
def test_a_parameter_given_twice_in_a_body_is_refused(content: bytes) -> None:
    with pytest.raises(MalformedRequest, match="is given twice"):
        from_body(content)


@pytest.mark.parametrize(
    "content",
    [
        b'{"query":"a","variables":{"query":"b","variables":{"query":1}}}',
        b'{"query":"\\"query\\" \\"query\\"","operationName":"query"}',
        b'{"query":"a","variables":{"x":["query","query"],"\\u0071uery":1},"x":{"query":1}}',
        b'{"query":"a","x":1,"x":2}',
    ],
)
def test_the_name_of_a_parameter_may_stand_elsewhere_in_a_body(content: bytes) -> None:
    from_body(content)


def test_a_variable_given_twice_keeps_its_last_value() -> None:
    assert from_body(b'{"variables":{"a":1,"a":2}}').variables == {"a": 2}


@pytest.mark.parametrize("name", ["query", "operationName", "variables", "extensions", "documentId"])
def test_a_parameter_given_twice_in_an_address_is_refused(name: str) -> None:
    with pytest.raises(MalformedRequest, match=f'The parameter "{name}" is given twice.'):
        from_query_string(f"{name}=&x=1&x=2&{name}=".encode())


@pytest.mark.parametrize("query_string", [b"query=%ff", b"query=\xff", b"%ff=1", b"query=%ed%a0%80", b"query=%c3"])
def test_an_address_that_is_not_utf8_is_refused(query_string: bytes) -> None:
    with pytest.raises(MalformedRequest, match="The query string is not UTF-8"):
        from_query_string(query_string)


def test_an_address_of_many_fields_is_refused() -> None:
    assert from_query_string(b"query=a" + b"&x=1" * 63).query == "a"
    with pytest.raises(MalformedRequest, match="more than 64 fields"):
        from_query_string(b"query=a" + b"&x=1" * 64)


@pytest.mark.parametrize("name", ["variables", "extensions"])
def test_a_map_over_its_bytes_is_refused(name: str) -> None:
    fits, over = {"a": "x" * 92}, {"a": "x" * 93}
    compact = json.dumps({name: fits}, separators=(",", ":")).encode()
    assert getattr(from_body(compact, SMALL), name) == fits
    for content in (json.dumps({name: over}, separators=(",", ":")).encode(), body(**{name: {"é": "é" * 50}})):
        with pytest.raises(LimitExceeded, match=f'The parameter "{name}" is larger than 100 bytes.'):
            from_body(content, SMALL)
    with pytest.raises(LimitExceeded, match="larger than 100 bytes"):
        from_query_string(urlencode({name: json.dumps(over)}).encode(), SMALL)


def test_variables_are_measured_in_bytes_of_json_not_in_letters() -> None:
    text = json.dumps({"a": "é" * 40}, ensure_ascii=False)
    assert len(text) < 100
    from_query_string(urlencode({"variables": text}).encode(), SMALL)
    with pytest.raises(LimitExceeded):
        from_query_string(urlencode({"variables": text.replace("é", "é€")}).encode(), SMALL)


@pytest.mark.parametrize(
    ("variables", "allowed"),
    [
        ('{"a":[[]]}', True),
        ('{"a":{"b":{}}}', True),
        ('{"a":[],"b":[],"c":[],"d":{}}', True),
        ('{"a":"[[[[[[{{{{{{"}', True),
        ('{"a":[[[]]]}', False),
        ('{"a":{"b":{"c":{}}}}', False),
        ('{"a":[1,2,{"b":[{}]}]}', False),
    ],
)
def test_nesting_counts_lists_and_objects_and_the_map_itself(variables: str, allowed: bool) -> None:
    content = f'{{"query":"x","variables":{variables}}}'.encode()
    if allowed:
        assert from_body(content, SMALL).variables == json.loads(variables)
        return
    with pytest.raises(LimitExceeded, match='The parameter "variables" is nested more than 3 levels deep'):
        from_body(content, SMALL)


@pytest.mark.parametrize("depth", [64, 500, 5_000, 100_000])
@pytest.mark.parametrize(
    "template", ['{"query":"a","variables":{"a":%s}}', '{"query":"a","extensions":{"a":%s}}'], ids=["variables", "ext"]
)
def test_deep_json_in_a_map_is_a_limit_exceeded(template: str, depth: int) -> None:
    with pytest.raises(LimitExceeded, match="nested"):
        from_body((template % ("[" * depth + "]" * depth)).encode())


@pytest.mark.parametrize("depth", [5_000, 100_000])
def test_deep_json_in_an_address_is_a_limit_exceeded(depth: int) -> None:
    with pytest.raises(LimitExceeded, match="nested"):
        from_query_string(b'variables={"a":' + b"[" * depth + b"]" * depth + b"}")


@pytest.mark.parametrize("key", ["x", "\\u0078"], ids=["plain", "escaped"])
def test_deep_json_under_an_unknown_key_is_a_limit_exceeded(key: str) -> None:
    with pytest.raises(LimitExceeded, match="The body is nested too deeply"):
        from_body(f'{{"query":"a","{key}":{"[" * 100_000}{"]" * 100_000}}}'.encode())


@pytest.mark.parametrize(("pair", "depth"), [("[]", 500), ("[]", 100_000), ('{"a":}', 100_000)])
def test_a_body_that_is_nothing_but_deep_is_refused(pair: str, depth: int) -> None:
    content = (pair[:-1] * depth + "1" + pair[-1] * depth).encode()
    with pytest.raises((MalformedRequest, LimitExceeded)):
        from_body(content)


def test_no_depth_gives_anything_but_parameters_or_a_refusal() -> None:
    refused = 0
    for depth in range(1, 1_200):  # the stack ends somewhere here, in one parser before the other
        try:
            from_body(b'{"query":"\\u0041","x":' + b"[" * depth + b"]" * depth + b"}")
        except LimitExceeded:
            refused += 1
    assert refused > 0


def test_escapes_that_are_not_json_are_refused_under_unknown_keys_too() -> None:
    with pytest.raises(MalformedRequest, match="The body is not JSON"):
        from_body(b'{"query":"\\u0041","x":"\\q"}')


def test_variables_are_not_in_the_text_that_a_log_may_show() -> None:
    assert "secret" not in repr(from_body(body(query="q", variables={"a": "secret"}, extensions={"b": "secret"})))
