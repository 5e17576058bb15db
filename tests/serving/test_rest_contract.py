"""Every line of TF Serving's REST interface: a request, a status, a body."""

import base64
import json

import pytest

pytest_plugins = ["helpers.rest_fixtures"]

_H = "half_plus_two"
HALF = f"/v1/models/{_H}"


def _b64(data):
    return {"b64": base64.b64encode(data).decode()}


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        # TF Serving's own example.
        ("", '{"instances":[2.0,3.0,4.0]}', '{"predictions":[3.0,3.5,4.0]}'),
        ("", '{"inputs":[2.0,3.0,4.0]}', '{"outputs":[3.0,3.5,4.0]}'),
        ("", '{"inputs":{"x":[2.0]}}', '{"outputs":[3.0]}'),
        ("", '{"instances":[{"x":2.0},{"x":4}]}', '{"predictions":[3.0,4.0]}'),
        ("", '{"instances":[[1.0,2.0],[3.0,4.0]]}',
         '{"predictions":[[2.5,3.0],[3.5,4.0]]}'),
        ("", '{"signature_name":"serving_default","instances":[2]}',
         '{"predictions":[3.0]}'),
        ("", '{"signature_name":"","instances":[2]}', '{"predictions":[3.0]}'),
        ("/versions/123", '{"instances":[2]}', '{"predictions":[3.0]}'),
        ("/versions/122", '{"instances":[2]}', '{"predictions":[2.0]}'),
        ("/labels/stable", '{"instances":[2]}', '{"predictions":[2.0]}'),
        ("/labels/canary", '{"instances":[2]}', '{"predictions":[3.0]}'),
        ("", '{"instances":[NaN,Infinity,-Infinity,1]}',
         '{"predictions":[NaN,Infinity,-Infinity,2.5]}'),
        ("", '{"inputs":[NaN,0.2]}', '{"outputs":[NaN,2.1]}'),
        ("", ' {"instances" : [ 2e0 ] , "other": {"key": [1]}} ',
         '{"predictions":[3.0]}'),
    ],
)  # fmt: skip
def test_predict(rest_server, path, body, expected):
    status, text, headers = rest_server.request("POST", f"{HALF}{path}:predict", body)
    assert (status, text) == (200, expected)
    assert headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("signature", "body", "expected"),
    [
        ("float32", "[0.1, 3, 16777215, 1e-5]", "[0.1,3.0,16777215.0,0.00001]"),
        ("float64", "[0.1, 3, 9007199254740991]", "[0.1,3.0,9007199254740991.0]"),
        ("float16", "[0.5, 3, NaN]", "[0.5,3.0,NaN]"),
        ("bfloat16", "[0.5, 3]", "[0.5,3.0]"),
        ("int8", "[-128, 127]", "[-128,127]"),
        ("uint8", "[0, 255]", "[0,255]"),
        ("int64", "[-9223372036854775808, 9223372036854775807]", None),
        ("uint64", "[18446744073709551615]", None),
        ("bool", "[true, false]", None),
        ("string", '["a", "", "\\u00fc"]', '["a","","ü"]'),
        ("string", '[{"b64": "YQ=="}, {"b64": "YQ"}, "b"]', '["a","a","b"]'),
        ("float32", "2.5", "2.5"),
        ("string", '{"b64": "YWI="}', '"ab"'),
        ("float32", "[]", "[]"),
        ("int32", "[[], []]", "[[],[]]"),
        ("int32", "[[[1, 2]], [[3, 4]]]", "[[[1,2]],[[3,4]]]"),
    ],
)
def test_types_come_back_as_they_went(rest_server, signature, body, expected):
    request = f'{{"signature_name": "{signature}", "inputs": {body}}}'
    status, text, _ = rest_server.request("POST", "/v1/models/types:predict", request)
    expected = body.replace(" ", "") if expected is None else expected
    assert (status, text) == (200, f'{{"outputs":{expected}}}')


def test_several_inputs_and_outputs(rest_server):
    rows = [
        {"a": [1, 2], "b": 3, "c": "x"},
        {"c": _b64(b"y"), "a": [0.5, 0], "b": -4},
    ]
    expected = [
        {
            "count": 3, "odd": True, "sum": 6.0, "text": "x", "text_bytes": _b64(b"x"),
            "twice": [2.0, 4.0],
        },
        {
            "count": -4, "odd": False, "sum": -3.5, "text": "y",
            "text_bytes": _b64(b"y"), "twice": [1.0, 0.0],
        },
    ]  # fmt: skip
    assert rest_server.predict("types", {"instances": rows}) == (
        200,
        {"predictions": expected},
    )
    columns = {"a": [[1, 2], [0.5, 0]], "b": [3, -4], "c": ["x", "y"]}
    status, answer = rest_server.predict("types", {"inputs": columns})
    assert status == 200
    assert answer["outputs"] == {
        name: [row[name] for row in expected] for name in expected[0]
    }


def test_values_that_are_not_finite_among_several_outputs(rest_server):
    body = '{"instances": [{"a": [NaN, 1], "b": 1, "c": "x"}]}'
    _, text, _ = rest_server.request("POST", "/v1/models/types:predict", body)
    assert '"sum":NaN' in text
    assert '"twice":[NaN,2.0]' in text
    assert '"odd":true' in text


def test_one_scalar_output_has_no_rows(rest_server):
    request = {"signature_name": "mean", "inputs": [1, 2, 6]}
    assert rest_server.predict("types", request) == (200, {"outputs": 3.0})
    request = {"signature_name": "mean", "instances": [1, 2, 6]}
    assert rest_server.predict("types", request) == (
        400,
        {"error": "Tensor name: y has no shape information "},
    )


@pytest.mark.parametrize(
    ("method", "signature", "examples", "expected"),
    [
        ("regress", "regress_x_to_y", '[{"x":80.0}]', '{"results":[42.0]}'),
        ("regress", "regress_x_to_y", '[{"x":[1.0]},{"x":2.0}]',
         '{"results":[2.5,3.0]}'),
        ("classify", "classify_x_to_y", '[{"x":20.0}]', '{"results":[[["",12.0]]]}'),
        ("classify", "classify_with_labels", '[{"x":2.5},{"x":NaN}]',
         '{"results":[[["low",-2.5],["high",2.5]],[["low",NaN],["high",NaN]]]}'),
    ],
)  # fmt: skip
def test_classify_and_regress(rest_server, method, signature, examples, expected):
    for version in ("", "/versions/123", "/labels/canary"):
        status, text, _ = rest_server.request(
            "POST",
            f"{HALF}{version}:{method}",
            f'{{"signature_name":"{signature}","examples":{examples}}}',
        )
        assert (status, text) == (200, expected)


def test_features_of_the_context_count_for_all_examples(rest_server):
    request = {
        "signature_name": "regress_x_to_y",
        "context": {"x": 2.0},
        "examples": [{"name": "a"}, {"id": [1, True], "data": _b64(b"\xff")}],
    }
    status, answer = rest_server.json("POST", f"{HALF}:regress", request)
    assert (status, answer) == (200, {"results": [3.0, 3.0]})


def _available(*versions):
    return {
        "model_version_status": [
            {
                "version": str(version),
                "state": "AVAILABLE",
                "status": {"error_code": "OK", "error_message": ""},
            }
            for version in versions
        ]
    }


def test_status(rest_server):
    assert rest_server.json("GET", HALF) == (200, _available(123, 122))
    assert rest_server.json("GET", f"{HALF}/versions/122") == (200, _available(122))
    assert rest_server.json("GET", f"{HALF}/labels/stable") == (200, _available(122))


def test_metadata(rest_server):
    status, found = rest_server.json("GET", f"{HALF}/metadata")
    assert status == 200
    assert found["model_spec"] == {
        "name": "half_plus_two",
        "signature_name": "",
        "version": "123",
    }
    signature = found["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["method_name"] == "tensorflow/serving/predict"
    assert signature["inputs"]["x"] == {
        "dtype": "DT_FLOAT",
        "tensor_shape": {
            "dim": [{"size": "-1", "name": ""}],
            "unknown_rank": False,
        },
        "name": "serving_default_x:0",
    }
    _, other = rest_server.json("GET", f"{HALF}/labels/stable/metadata")
    assert other["model_spec"]["version"] == "122"


def test_names_are_percent_decoded_and_the_rest_is_not_case_sensitive(rest_server):
    status, _ = rest_server.json("GET", "/V1/Models/half%5Fplus%5ftwo/Versions/122")
    assert status == 200
    status, answer = rest_server.json(
        "POST", "/v1/models/half_plus_two:PREDICT?x=1", {"instances": [2]}
    )
    assert (status, answer) == (200, {"predictions": [3.0]})


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/v1/foo", 400, "Malformed request: GET /v1/foo"),
        ("POST", "/v1/foo", 400, "Malformed request: POST /v1/foo"),
        ("GET", "/", 400, "Malformed request: GET /"),
        ("PUT", HALF, 400, f"Malformed request: PUT {HALF}"),
        ("DELETE", HALF, 400, f"Malformed request: DELETE {HALF}"),
        ("GET", f"{HALF}:predict", 400, f"Malformed request: GET {HALF}:predict"),
        ("POST", HALF, 400, f"Malformed request: POST {HALF}"),
        ("POST", f"{HALF}:run", 400, f"Malformed request: POST {HALF}:run"),
        ("POST", "/v1/models", 400, "Malformed request: POST /v1/models"),
        ("GET", f"{HALF}/version/5", 400, f"Malformed request: GET {HALF}/version/5"),
        ("GET", f"{HALF}/versions/x", 400, f"Malformed request: GET {HALF}/versions/x"),
        ("GET", f"{HALF}/versions/1/labels/a", 400, "Malformed request: GET "),
        ("GET", "/v1/models", 400, "Missing model name in request."),
        ("GET", f"{HALF}/versions/18446744073709551615", 400,
         "Failed to convert version: 18446744073709551615 to numeric."),
        ("GET", "/v1/models/foo", 404, "Could not find any versions of model foo"),
        ("GET", f"{HALF}/versions/99", 404,
         "Could not find version 99 of model half_plus_two"),
        ("GET", f"{HALF}/labels/none", 400,
         "Unrecognized servable version label: none"),
        ("GET", "/v1/models/foo/metadata", 404,
         "Servable not found for request: Latest(foo)"),
        ("GET", f"{HALF}/versions/99/metadata", 404,
         "Servable not found for request: Specific(half_plus_two, 99)"),
    ],
)  # fmt: skip
def test_paths_that_are_refused(rest_server, method, path, status, message):
    body = '{"instances": [1]}' if method in ("POST", "PUT") else None
    found, text, headers = rest_server.request(method, path, body)
    assert found == status
    assert json.loads(text)["error"].startswith(message)
    assert headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("where", "body", "status", "message"),
    [
        (_H, "", 400, "JSON Parse error: The document is empty"),
        (_H, "  ", 400, "JSON Parse error: The document is empty."),
        (_H, "instances = [1, 2]", 400, "JSON Parse error: Invalid value."),
        (_H, '{"instances": [1 2]}', 400, "JSON Parse error: Missing a comma"),
        (_H, '{"instances": [1]} x', 400, "JSON Parse error: The document root"),
        (_H, '{"instances: [1]}', 400, "JSON Parse error: Missing a closing quo"),
        (_H, '{instances: [1]}', 400, "JSON Parse error: Missing a name for obj"),
        (_H, '{"instances" [1]}', 400, "JSON Parse error: Missing a colon after"),
        (_H, '{"instances": ["\\q"]}', 400, "JSON Parse error: Invalid escape"),
        (_H, b'{"instances": ["\xff"]}', 400, "JSON Parse error: Invalid encoding"),
        (_H, "[" * 5000, 400, "JSON Parse error: "),
        (_H, "[1]", 400, "JSON Value: [\n    1\n] Is not object"),
        (_H, "{}", 400, "Missing 'inputs' or 'instances' key"),
        (_H, '{"instances": []}', 400, "No values in 'instances' array"),
        (_H, '{"instances": 1}', 400, "Excepting 'instances' to be an list/array"),
        (_H, '{"instances": [1], "inputs": [1]}', 400,
         "expecting only one of 'inputs' or 'instances' keys to exist"),
        (_H, '{"instances": [1], "signature_name": 5}', 400,
         "'signature_name' key must be a string value."),
        (_H, '{"instances": [1], "signature_name": "x"}', 400,
         'Serving signature name: "x" not found in signature def'),
        (_H, '{"inputs": {"y": [1]}}', 400,
         "Missing named input: x in 'inputs' object."),
        (_H, '{"instances": [[1,2],[3,4],[5,6,7]]}', 400,
         "Failed to process element: 2 of 'instances' list. Error: INVALID_ARGUMENT: "
         "Expecting tensor size: 2 but got: 3"),
        (_H, '{"instances": [[1,2],[3,4],[[5,6]]]}', 400,
         "Expecting shape [2] but got: [1,2]"),
        (_H, '{"instances": [1, [1]]}', 400, "Expecting shape [] but got: [1]"),
        (_H, '{"inputs": [[1,2],[3]]}', 400,
         "Encountered list at unexpected size: 1 at level: 1 expected size: 2"),
        (_H, '{"inputs": [1,[3]]}', 400,
         "Encountered list at unexpected level: 1 expected < 1"),
        (_H, '{"inputs": [[1],3]}', 400,
         "JSON Value: 3 found at incorrect level: 2 in the JSON DOM. Expected at "
         "level: 2"),
        (_H, '{"instances": [1, "a"]}', 400,
         'JSON Value: "a" Type: String is not of expected type: float'),
        (_H, '{"instances": [true]}', 400,
         "JSON Value: true Type: True is not of expected type: float"),
        (_H, '{"instances": [null]}', 400,
         "JSON Value: null Type: Null is not of expected type: float"),
        (_H, '{"instances": [1.0, false]}', 400, "Type: False is not of expected"),
        (_H, '{"inputs": [{"b64": "YQ=="}]}', 400, "Type: Object is not of"),
        (_H, '{"instances": [16777217]}', 400,
         "Cannot convert JSON value: 16777217 to float without loss of precision."),
        (_H, '{"instances": [1e300]}', 400, "without loss of precision."),
        (_H, '{"instances": [{"x": 1}, 2]}', 400,
         "Expecting object but got list at item 1 of input list"),
        (_H, '{"instances": [2, {"x": 1}]}', 400,
         "Expecting value/list but got object at item 1 of input list"),
        (_H, '{"instances": [{"z": 1}]}', 400,
         "JSON object: does not have named input: z"),
        ("types", '{"instances": [{"b64": "YQ=="}]}', 400,
         "instances is a plain list, but expecting list"),
        ("types", '{"instances": [1]}', 400,
         "instances is a plain list, but expecting list"),
        ("types", '{"inputs": [1]}', 400,
         "inputs is a plain value/list, but expecting an obj"),
        ("types", '{"instances": [{"a": [1, 2]}]}', 400,
         "keys must be equal to: a,b,c"),
        ("types", '{"signature_name": "int32", "inputs": [1.0]}', 400,
         "expected type: int32"),
        ("types", '{"signature_name": "int8", "inputs": [128]}', 400,
         "expected type: int8"),
        ("types", '{"signature_name": "float64", "inputs": [9007199254740993]}', 400,
         "to double without loss of precision."),
        ("types", '{"signature_name": "string", "inputs": [{"b64": "*"}]}', 400,
         "Unable to base64 decode"),
        ("types", '{"signature_name": "string", "inputs": [{"b64": 1}]}', 400,
         "not formatted correctly for base64 data"),
        ("types", '{"signature_name": "string", "inputs": [{"b64": "/w=="}]}', 400,
         "Failed to write JSON value for tensor type: string"),
        ("types", '{"signature_name": "string", "inputs": ["\\ud800"]}', 400,
         "The surrogate pair in string is invalid."),
        ("types", '{"signature_name": "complex", "inputs": [1]}', 501,
         "Conversion of JSON Value: 1 to type: complex64"),
        ("types", '{"signature_name": "unequal", "instances": [1]}', 400,
         "Tensor name: z has inconsistent batch size: 2 expecting: 1"),
        ("types", '{"signature_name": "product", "inputs": [[1, 2]]}', 400, ""),
        ("foo", '{"instances": [1]}', 404,
         "Servable not found for request: Latest(foo)"),
        ("foo/versions/50", '{"instances": [1]}', 404,
         "Servable not found for request: Specific(foo, 50)"),
        ("half_plus_two/versions/99", '{"instances": [1]}', 404,
         "Servable not found for request: Specific(half_plus_two, 99)"),
        ("half_plus_two/labels/x", '{"instances": [1]}', 400,
         "Unrecognized servable version label: x"),
        ("foo", "", 400, "JSON Parse error: The document is empty"),
    ],
)  # fmt: skip
def test_predict_requests_that_are_refused(rest_server, where, body, status, message):
    found, text, _ = rest_server.request("POST", f"/v1/models/{where}:predict", body)
    document = json.loads(text)
    assert list(document) == ["error"]
    assert message in document["error"]
    assert found == status


@pytest.mark.parametrize(
    ("method", "request_", "message"),
    [
        ("classify", {}, "key 'examples' is expected and was not found"),
        ("classify", {"examples": 1}, "Expecting 'examples' value to be an list/array"),
        ("classify", {"examples": []}, "'examples' value is an empty array"),
        ("classify", {"examples": [1]},
         "Example must be JSON object but got JSON Number"),
        ("classify", {"examples": [{"x": [[1]]}]},
         "Feature: x has element with unexpected JSON type: Array"),
        ("classify", {"examples": [{"x": None}]},
         "Feature: x has element with unexpected JSON type: Null"),
        ("classify", {"examples": [{"x": [1.0, "a"]}]},
         "Unexpected element type in feature: x expecting type: float"),
        ("classify", {"examples": [{"x": 2**63}]},
         "Feature: x has uint64 element. Only int64 is supported."),
        ("classify", {"examples": [{"x": 1e300}]},
         "to float without loss of precision."),
        ("classify", {"examples": [{"x": 1.0}]},
         "Expected classification signature method_name to be "
         "tensorflow/serving/classify. Was: tensorflow/serving/predict"),
        ("regress", {"examples": [{"x": 1.0}]},
         "Expected regression signature method_name to be tensorflow/serving/regress. "
         "Was: tensorflow/serving/predict"),
        ("regress", {"examples": [{"x": 1.0}], "signature_name": "z"},
         "No signature was found with the name: z"),
        # What TensorFlow itself has to say.
        ("regress", {"examples": [{}], "signature_name": "regress_x_to_y"},
         "Feature: x (data type: float) is required but could not be found."),
    ],
)  # fmt: skip
def test_examples_that_are_refused(rest_server, method, request_, message):
    status, answer = rest_server.json("POST", f"{HALF}:{method}", request_)
    assert message in answer["error"]
    assert status == 400


def test_a_compressed_body(rest_server):
    import gzip

    body = gzip.compress(b'{"instances": [2]}')
    for data, status in ((body, 200), (body[:-9], 400), (b"no gzip", 400)):
        found, _, _ = rest_server.request(
            "POST", f"{HALF}:predict", data, {"content-encoding": "gzip"}
        )
        assert found == status


def test_metrics(rest_server):
    rest_server.predict("half_plus_two", {"instances": [1]})
    rest_server.predict("nobody", {"instances": [1]})
    path = "/monitoring/prometheus/metrics"
    status, text, headers = rest_server.request("GET", path)
    assert status == 200
    assert headers["content-type"].startswith("text/plain")
    lines = dict(
        line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")
    )
    name, predict = "kerascale_serving", f'method="predict",model="{_H}"'
    assert float(lines[f'{name}_requests_total{{{predict},status="200"}}']) >= 1
    assert float(lines[f"{name}_request_seconds_count{{{predict}}}"]) >= 1
    assert lines[f'{name}_loaded_versions{{model="{_H}",version="122"}}'] == "1.0"
    assert float(lines[f"{name}_batch_rows_count"]) >= 1
    assert lines[f"{name}_queued_requests"] == "0.0"
    assert "nobody" not in text  # What clients make up takes no memory.
