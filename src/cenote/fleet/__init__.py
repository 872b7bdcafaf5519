"""Several processes on one directory: workers that read, one writer, a parent that keeps them."""

from cenote.fleet.desk import Desk
from cenote.fleet.line import Line
from cenote.fleet.link import Link
from cenote.fleet.supervisor import Child, Supervisor

__all__ = ["Child", "Desk", "Line", "Link", "Supervisor"]
