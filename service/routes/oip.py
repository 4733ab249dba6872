"""Open Inference Protocol v2, as KServe, Triton and MLServer speak it."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Depends, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from pipelines.environment import own_version
from pipelines.tasks.task import Tensor
from service.catalog import Catalog, Model
from service.errors import RequestError, TooLarge, Unprocessable
from service.settings import Settings

router = APIRouter(prefix="/v2", tags=["Open Inference Protocol"])

Scalar = str | int | float | bool


class InputTensor(BaseModel):
    """Texts: `data` is a list of strings, flat or nested, of as many items as `shape` says."""

    model_config = ConfigDict(extra="ignore")

    name: str
    shape: list[Annotated[int, Field(ge=0)]]
    datatype: str
    parameters: dict[str, Scalar] = {}
    data: list[Any]


class RequestedOutput(BaseModel):
    name: str
    parameters: dict[str, Scalar] = {}


class InferRequest(BaseModel):
    id: str | None = None
    parameters: dict[str, Scalar] = {}
    inputs: Annotated[list[InputTensor], Field(min_length=1)]
    outputs: list[RequestedOutput] = []


class OutputTensor(BaseModel):
    name: str
    shape: list[int]
    datatype: str
    data: list[Any]


class InferResponse(BaseModel):
    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[OutputTensor]


class TensorMetadata(BaseModel):
    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(BaseModel):
    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ServerMetadata(BaseModel):
    name: Literal["aasaan"] = "aasaan"
    version: str
    extensions: list[str] = []


class Ready(BaseModel):
    name: str
    ready: bool


EXAMPLE = {
    "inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["The exam was a piece of cake"]}]
}


def _catalog(request: Request) -> Catalog:
    return request.app.state.catalog  # type: ignore[no-any-return]


def _settings(request: Request) -> Settings:
    return request.app.state.settings  # type: ignore[no-any-return]


Models = Annotated[Catalog, Depends(_catalog)]
Limits = Annotated[Settings, Depends(_settings)]


@router.get("", summary="About this server")
async def server_metadata() -> ServerMetadata:
    return ServerMetadata(version=own_version())


@router.get("/health/live", summary="Whether the process answers")
async def live() -> dict[str, bool]:
    return {"live": True}


@router.get("/health/ready", summary="Whether every model can answer")
async def ready(models: Models, response: Response) -> dict[str, bool]:
    response.status_code = 200 if models.ready else 503
    return {"ready": models.ready}


@router.get("/models/{name}", summary="What a model takes and gives")
@router.get("/models/{name}/versions/{number}", summary="What a version takes and gives")
async def model_metadata(models: Models, name: str, number: str | None = None) -> ModelMetadata:
    model = models.get(name, number)
    engine = model.batcher.engine
    return ModelMetadata(
        name=model.name,
        versions=[model.version],
        platform=engine.platform,
        inputs=[TensorMetadata(name="text", datatype="BYTES", shape=[-1])],
        outputs=[
            TensorMetadata(name=t.name, datatype=t.datatype, shape=t.shape) for t in engine.task.outputs
        ],
    )


@router.get("/models/{name}/ready", summary="Whether a model can answer")
@router.get("/models/{name}/versions/{number}/ready", summary="Whether a version can answer")
async def model_ready(models: Models, name: str, number: str | None = None) -> Ready:
    return Ready(name=models.get(name, number).name, ready=models.ready)


@router.post(
    "/models/{name}/infer",
    response_model=InferResponse,
    response_model_exclude_none=True,
    summary="Predict for texts",
)
@router.post(
    "/models/{name}/versions/{number}/infer",
    response_model=InferResponse,
    response_model_exclude_none=True,
    summary="Predict for texts with one version",
)
async def infer(
    models: Models,
    limits: Limits,
    name: str,
    body: Annotated[InferRequest, Body(examples=[EXAMPLE])],
    number: str | None = None,
) -> Response:
    model = models.get(name, number)
    texts = _texts(body, limits)
    predictions = await model.batcher.predict(texts)
    tensors = _wanted(body, model.batcher.engine.task.tensors(predictions))
    # Written as it is: the shapes and types were made here and need no second validation.
    return JSONResponse(_answer(model, body.id, tensors))


def _answer(model: Model, request_id: str | None, tensors: list[Tensor]) -> dict[str, Any]:
    answer: dict[str, Any] = {"model_name": model.name, "model_version": model.version}
    if request_id is not None:
        answer["id"] = request_id
    answer["outputs"] = [
        {"name": t.name, "shape": t.shape, "datatype": t.datatype, "data": t.data} for t in tensors
    ]
    return answer


def _texts(body: InferRequest, limits: Settings) -> list[str]:
    found = [tensor.name for tensor in body.inputs]
    if found != ["text"]:
        raise RequestError(f"expected one input named 'text', found {', '.join(map(repr, found))}")
    tensor = body.inputs[0]
    if tensor.datatype != "BYTES":
        raise RequestError(f"input 'text': expected datatype BYTES, found {tensor.datatype!r}")
    texts = list(_flatten(tensor.data))
    size = 1
    for axis in tensor.shape:
        size *= axis
    if size != len(texts):
        raise RequestError(
            f"input 'text': shape {tensor.shape} stands for {size} texts, data has {len(texts)}"
        )
    if not texts:
        raise RequestError("input 'text': no texts")
    if len(texts) > limits.max_items:
        raise TooLarge(f"{len(texts)} texts in one request, the limit is {limits.max_items}")
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            raise Unprocessable(f"input 'text', item {position}: expected a string, found {text!r}"[:200])
        if not text.strip():
            raise Unprocessable(f"input 'text', item {position}: the text is empty")
        try:
            size = len(text.encode("utf-8"))
        except UnicodeEncodeError:
            raise Unprocessable(f"input 'text', item {position}: not valid Unicode") from None
        if size > limits.max_text_bytes:
            raise TooLarge(f"input 'text', item {position}: longer than {limits.max_text_bytes} bytes")
    return texts


def _flatten(data: list[Any]) -> Iterator[Any]:
    for item in data:
        if isinstance(item, list):
            yield from _flatten(item)
        else:
            yield item


def _wanted(body: InferRequest, tensors: list[Tensor]) -> list[Tensor]:
    if not body.outputs:
        return tensors
    by_name = {tensor.name: tensor for tensor in tensors}
    for output in body.outputs:
        if output.name not in by_name:
            raise RequestError(f"no output {output.name!r}; there are: {', '.join(by_name)}")
    return [by_name[output.name] for output in body.outputs]
