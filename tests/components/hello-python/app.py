"""Answers every request with a line: a guest that brings a whole interpreter."""

from spin_sdk.http import IncomingHandler as Handler, Request, Response


class IncomingHandler(Handler):
    def handle_request(self, request: Request) -> Response:
        return Response(200, {"content-type": "text/plain"}, b"hello")
