"""A peer that does no work: what broker, loopback and the side that measures take, which is in all others' figures."""

import os
import sys

from benchmarks.engine.wire import Publisher, Wire
from benchmarks.engine.work import FIRST_NUMBER

ANSWER = b"[0,%d]"
PATIENCE_S = 3600.0


def main(port: int, questions: str, answers: str, qos: int) -> None:
    """Answer with each question's number until killed."""
    wire = Wire(port, f"echo-{os.getpid()}")
    wire.subscribe(questions, qos)
    publisher = Publisher(answers, qos, len(ANSWER % FIRST_NUMBER))
    answered = 0
    while payloads := wire.receive(PATIENCE_S):
        packets = [
            publisher.packet(number, ANSWER % int(payload[payload.index(b":") + 1 : payload.index(b",")]))
            for number, payload in enumerate(payloads, answered)
        ]
        wire.send(b"".join(packets))
        answered += len(payloads)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]))
