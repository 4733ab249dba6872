from typing import Any

import pytest
from fastapi.testclient import TestClient

from pipelines import bundle as bundles
from service.routes.oip import EXAMPLE
from tests.conftest import FinishedRun

URL = "/v2/models/sentiment/infer"


def texts(*items: Any, **more: Any) -> dict[str, Any]:
    tensor = {"name": "text", "shape": [len(items)], "datatype": "BYTES", "data": list(items)}
    return {"inputs": [{**tensor, **more}]}


def test_the_documented_example(client: TestClient) -> None:
    answer = client.post(URL, json=EXAMPLE)
    assert answer.status_code == 200
    body = answer.json()
    assert body["model_name"] == "sentiment"
    assert [tensor["name"] for tensor in body["outputs"]] == ["label", "score", "scores"]
    assert [tensor["shape"] for tensor in body["outputs"]] == [[1], [1], [1, 3]]
    assert sum(body["outputs"][2]["data"]) == pytest.approx(1)


def test_served_answers_equal_offline_ones(client: TestClient, finished: FinishedRun) -> None:
    items = ["Not bad at all.", "The worst night ever " * 10, "It opens at nine."]
    offline = bundles.load(finished.bundle).predictor().predict(items)
    body = client.post(URL, json=texts(*items)).json()
    assert body["outputs"][0]["data"] == [prediction.label for prediction in offline]
    assert body["outputs"][1]["data"] == pytest.approx([p.score for p in offline], abs=2e-2)


def test_id_outputs_and_nested_data(client: TestClient) -> None:
    request = texts(["a good one"], ["a bad one"], shape=[2, 1])
    body = client.post(URL, json={**request, "id": "42", "outputs": [{"name": "label"}]}).json()
    assert body["id"] == "42"
    assert [(tensor["name"], tensor["shape"]) for tensor in body["outputs"]] == [("label", [2])]


def test_versions(client: TestClient, finished: FinishedRun) -> None:
    name = bundles.load(finished.bundle).manifest.name
    assert client.post(f"/v2/models/sentiment/versions/{name}/infer", json=texts("x y")).status_code == 200
    answer = client.post("/v2/models/sentiment/versions/99/infer", json=texts("x y"))
    assert answer.status_code == 404
    assert answer.json() == {"error": f"no model 'sentiment version 99'; loaded: sentiment version {name}"}


def test_metadata(client: TestClient) -> None:
    assert client.get("/v2").json()["name"] == "aasaan"
    model = client.get("/v2/models/sentiment").json()
    assert model["platform"] == "onnxruntime"
    assert model["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
    assert {tensor["name"]: tensor["shape"] for tensor in model["outputs"]} == {
        "label": [-1], "score": [-1], "scores": [-1, 3],
    }  # fmt: skip
    assert client.get("/v2/models/sentiment/ready").json() == {"name": "sentiment", "ready": True}


@pytest.mark.parametrize("path", ["/v2/models/sentimint", "/v2/models/sentimint/ready"])
def test_unknown_model_lists_the_loaded_ones(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert "no model 'sentimint'; loaded: sentiment version" in answer.json()["error"]


@pytest.mark.parametrize(
    ("request_body", "status", "expected"),
    [
        (texts(), 400, "no texts"),
        (texts("a", shape=[2]), 400, "shape [2] stands for 2 texts, data has 1"),
        (texts("a", datatype="FP32"), 400, "expected datatype BYTES, found 'FP32'"),
        (texts("a", name="texts"), 400, "expected one input named 'text', found 'texts'"),
        (texts("a", shape=[-1]), 400, "inputs.0.shape.0"),
        ({"inputs": []}, 400, "inputs: List should have at least 1 item"),
        (
            {**texts("a"), "outputs": [{"name": "mood"}]},
            400,
            "no output 'mood'; there are: label",
        ),
        (texts("fine", 7), 422, "item 1: expected a string, found 7"),
        (texts("fine", "  "), 422, "item 1: the text is empty"),
        (texts(*["x y"] * 9), 413, "9 texts in one request, the limit is 8"),
        (texts("x" * 1001), 413, "item 0: longer than 1000 bytes"),
    ],
)
def test_bad_requests_say_what_was_expected(
    client: TestClient, request_body: Any, status: int, expected: str
) -> None:
    answer = client.post(URL, json=request_body)
    assert answer.status_code == status
    assert expected in answer.json()["error"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
def test_a_body_that_is_no_request(client: TestClient, content: bytes) -> None:
    answer = client.post(URL, content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_a_body_over_the_limit_is_refused_unread(client: TestClient) -> None:
    answer = client.post(URL, json=texts("x" * 30_000))
    assert answer.status_code == 413
    assert "the limit is 20000" in answer.json()["error"]


def test_lone_surrogates_do_not_break_it(client: TestClient) -> None:
    body = b'{"inputs":[{"name":"text","shape":[1],"datatype":"BYTES","data":["odd \\ud800 text"]}]}'
    answer = client.post(URL, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert "item 0: not valid Unicode" in answer.json()["error"]


def test_health(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/v2/health/live").status_code == client.get("/v2/health/ready").status_code == 200
    assert client.get("/readyz").json()["status"] == "ready"


def test_not_ready_before_an_inference_has_passed(client: TestClient) -> None:
    client.app.state.catalog.ready = False  # type: ignore[attr-defined]
    assert client.get("/v2/health/ready").status_code == client.get("/readyz").status_code == 503


def test_openapi_has_the_example(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    operation = document["paths"]["/v2/models/{name}/infer"]["post"]
    assert operation["requestBody"]["content"]["application/json"]["schema"]["examples"] == [EXAMPLE]
