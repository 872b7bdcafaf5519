"""A small synchronous S3 client."""

from cenote.client.client import Client, ObjectHead
from cenote.client.credentials import Access, find_access
from cenote.client.endpoint import Endpoint, parse_endpoint
from cenote.client.replies import Bucket, Entry, ObjectsPage, Upload
from cenote.client.reply import Reply
from cenote.client.upload import part_size_for, upload

__all__ = [
    "Access",
    "Bucket",
    "Client",
    "Endpoint",
    "Entry",
    "ObjectHead",
    "ObjectsPage",
    "Reply",
    "Upload",
    "find_access",
    "parse_endpoint",
    "part_size_for",
    "upload",
]
