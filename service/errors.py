"""What goes wrong with a request, as HTTP knows it."""

from pipelines.errors import AasaanError


class RequestError(AasaanError):
    """A request that cannot be answered; `status` is its HTTP status."""

    status = 400


class UnknownModel(RequestError):
    status = 404


class TooLarge(RequestError):
    status = 413


class Unprocessable(RequestError):
    status = 422


class Overloaded(RequestError):
    status = 429
