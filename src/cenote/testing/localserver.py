"""A server in the test's own process, without a port until somebody wants one.

Owns: a server with faults, a request log and a clock that can be moved; clients of it.
Does not own: the server (`cenote.server`), when it starts and stops (`plugin`).

Clients of `client` and `resource` reach it through a socket pair: no port is taken, nothing leaves
the process. `listen` takes a port, for programs that need an address.

Example:

    with LocalServer(folder) as server:
        s3 = server.client("s3")
        server.faults.status(503, operation="PutObject", on=3)
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cenote.base import SystemClock
from cenote.server import Application, BackgroundServer
from cenote.testing.faultrules import FaultRules
from cenote.testing.interposed import Interposed
from cenote.testing.requestlog import RequestLog
from cenote.testing.shiftedclock import ShiftedClock

__all__ = ["LocalServer"]

_ENDPOINT = "http://cenote.localhost"


class LocalServer:
    """See the module. `root` is where its files are, `access_key` and `secret_key` its one pair."""

    access_key = "testing"
    secret_key = "testing-secret"
    region = "us-east-1"

    def __init__(self, root: str | Path, **settings: Any) -> None:
        """Prepare a server on the directory `root`; `settings` are the server's."""
        self.root = Path(root)
        self.clock = ShiftedClock()
        self.faults = FaultRules()
        self.requests = RequestLog()
        self._background = BackgroundServer(
            root=str(root),
            access_key=self.access_key,
            secret_key=self.secret_key,
            clock=self.clock,
            signing_clock=SystemClock(),
            listens=False,
            around=self._around,
            **settings,
        )

    def _around(self, application: Application) -> Application:
        return Interposed(application, self.faults, self.requests, self.clock)

    def start(self) -> Self:
        """Start it. Raises as `cenote.server.serve`."""
        self._background.start()
        return self

    def stop(self) -> None:
        """Stop it. Harmless when repeated."""
        self._background.stop()
        self.requests.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def listen(self) -> str:
        """Take a port, unless there is one, and return the endpoint's URL."""
        return self._background.listen()

    @property
    def endpoint(self) -> str:
        """The endpoint's URL, by which other programs and processes reach it. Takes a port."""
        return self.listen()

    def client(self, service: str, *, socket: bool = False, **arguments: Any) -> Any:
        """Return a boto3 client; with `socket` one that goes by a port.

        `arguments` are boto3's. Raises UnsupportedError without boto3.
        """
        return self._made("client", service, socket, arguments)

    def resource(self, service: str, *, socket: bool = False, **arguments: Any) -> Any:
        """Return a boto3 resource, as `client` does a client."""
        return self._made("resource", service, socket, arguments)

    def _made(self, kind: str, service: str, socket: bool, arguments: dict[str, Any]) -> Any:
        # Late: boto3 takes a third of a second to import, and not every test needs it.
        from cenote.testing.botolocal import boto3_session, go_inside

        made = getattr(boto3_session(), kind)(
            service,
            **{
                "endpoint_url": self.listen() if socket else _ENDPOINT,
                "aws_access_key_id": self.access_key,
                "aws_secret_access_key": self.secret_key,
                "region_name": self.region,
                **arguments,
            },
        )
        if not socket:
            go_inside(made if kind == "client" else made.meta.client, self._background.connect)
        return made

    def environment(self) -> dict[str, str]:
        """Return the variables by which AWS's tools find this server. Takes a port."""
        return {
            "AWS_ENDPOINT_URL": self.listen(),
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_REGION": self.region,
        }
