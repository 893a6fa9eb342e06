"""Serves moto's SQS as its own command does, one request after the other.

Threads of moto that receive at the same time hand out one message twice, and one that deletes forgets what another
adds meanwhile. Here each of them is alone with a queue. It also saves moto from counting all messages for each one,
and connections stay open after an answer, as those to Amazon do.
"""

import sys
import threading
import time

from moto.server import main
from moto.sqs.models import SQSBackend
from werkzeug.serving import WSGIRequestHandler

PAUSE = 0.02

turn = threading.RLock()


def alone(method):
    def call(*args, **kwargs):
        with turn:
            return method(*args, **kwargs)

    return call


def receive_in_turns(receive):
    def call(backend, queue_name, count, wait, *args, **kwargs):
        end = time.monotonic() + wait
        while True:
            with turn:
                messages = receive(backend, queue_name, count, 0, *args, **kwargs)
            if messages or time.monotonic() >= end:
                return messages
            time.sleep(PAUSE)

    return call


for name in (
    "create_queue",
    "delete_queue",
    "get_queue_attributes",
    "send_message_batch",
    "delete_message_batch",
    "change_message_visibility_batch",
    "purge_queue",
):
    setattr(SQSBackend, name, alone(getattr(SQSBackend, name)))
SQSBackend.receive_message = receive_in_turns(SQSBackend.receive_message)
WSGIRequestHandler.protocol_version = "HTTP/1.1"
WSGIRequestHandler.disable_nagle_algorithm = True
SQSBackend.is_message_valid_based_on_retention_period = lambda *_: True

main(sys.argv[1:])
