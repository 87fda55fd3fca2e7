"""The refusals of ERMrest, worded as the server words them."""

from __future__ import annotations

HTTP_REASONS = {
    200: "OK",
    201: "Created",
    204: "No Content",
    206: "Partial Content",
    304: "Not Modified",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    411: "Length Required",
    412: "Precondition Failed",
    413: "Request Entity Too Large",
    414: "Request-URI Too Long",
    415: "Unsupported Media Type",
    416: "Requested Range Not Satisfiable",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
}


class ServiceError(Exception):
    """A refusal: its status, its text/plain body (without the last line end) and further headers."""

    def __init__(self, status: int, message: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(f"{status} {message}")
        self.status = status
        self.message = message
        self.headers = headers

    def html(self) -> str:
        """The body for a client that prefers text/html."""
        title = HTTP_REASONS[self.status]
        return f"<html><body><h1>{title}</h1><p>{self.message}</p></body></html>"


def malformed(detail: str) -> ServiceError:
    """400."""
    return ServiceError(400, f"Request malformed. Detail: {detail}")


def unauthenticated(detail: str) -> ServiceError:
    """401."""
    return ServiceError(401, f"Access requires authentication. Detail: {detail}")


def forbidden(detail: str) -> ServiceError:
    """403."""
    return ServiceError(403, f"Access forbidden. Detail: {detail}")


def not_found(detail: str) -> ServiceError:
    """404."""
    return ServiceError(404, f"Resource not found. Detail: {detail}")


def no_method() -> ServiceError:
    """405."""
    return ServiceError(405, "Request method not allowed on this resource.")


def conflict(detail: str) -> ServiceError:
    """409."""
    return ServiceError(409, f"Request conflicts with state of server. Detail: {detail}")


def violation(error: str, detail: str) -> ServiceError:
    """409 for a constraint of the model, as PostgreSQL words it."""
    return conflict(f"Input data violates model. ERROR:  {error}\nDETAIL:  {detail}\n")


def precondition_failed(headers: tuple[tuple[str, str], ...]) -> ServiceError:
    """412."""
    return ServiceError(412, "Resource state does not match requested preconditions.", headers)


def aborted() -> ServiceError:
    """503, which the server answers when concurrent writes meet."""
    return ServiceError(503, "The service is temporarily unavailable. Detail: Transaction aborted.")


def unsupported(what: str) -> ServiceError:
    """501: the double has not been taught this, so no test may rest on it."""
    return ServiceError(501, f"The Deriva double does not implement {what}.")
