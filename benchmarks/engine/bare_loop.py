"""A peer: the least that could do the work with paho and the codec that pipelines have, in one thread.

It reads and writes in large pieces, checks nothing, counts nothing, and survives no error.
"""

import select
import socket
import sys

import numpy as np
import onnxruntime as ort
import orjson
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.engine.bare_script import prepare
from transport.buffered_socket import BufferedSocket


class Client(mqtt.Client):
    """Paho over a socket that is read and written in large pieces."""

    def _create_socket(self) -> BufferedSocket:
        connection = socket.create_connection((self.host, self.port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return BufferedSocket(connection)


def main(port: int, questions: str, answers: str, qos: int, model: str) -> None:
    """Answer until killed."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def on_connect(client: mqtt.Client, *_: object) -> None:
        client.subscribe(questions, qos)

    def on_message(client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        reading = prepare(orjson.loads(message.payload))
        row = [reading["number"], reading["force"], reading["temperature"], reading["speed"]]
        features = np.array([row], dtype=np.float32)
        scores = session.run(["scores"], {"features": features})[0]
        client.publish(answers, orjson.dumps(scores.tolist()), qos)

    client = Client(CallbackAPIVersion.VERSION2)
    client.on_connect = on_connect
    client.on_message = on_message
    client.connect("127.0.0.1", port)
    serve(client)


def serve(client: Client) -> None:
    """Read what is there, answer it, and write the answers in one piece."""
    connection = client.socket()
    assert isinstance(connection, BufferedSocket)
    connection.collect()
    written = True
    while True:
        select.select([connection], [] if written else [connection], [], 1.0)
        try:
            client.loop_read()
            while connection.pending():
                client.loop_read()
        except BlockingIOError:
            pass
        client.loop_write()
        written = connection.flush()
        client.loop_misc()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5])
