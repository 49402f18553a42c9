"""A peer: what many people write, with paho as it comes, json and numpy; all in one callback."""

import json
import sys

import numpy as np
import onnxruntime as ort
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion


def prepare(reading: dict[str, float]) -> dict[str, float]:
    """What the library does."""
    return {
        "number": reading["n"],
        "force": reading["f"],
        "temperature": (reading["t"] - 32) / 1.8,
        "speed": reading["v"],
    }


def main(port: int, questions: str, answers: str, qos: int, model: str) -> None:
    """Answer until killed."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1  # as the others have it
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def on_connect(client: mqtt.Client, *_: object) -> None:
        client.subscribe(questions, qos)

    def on_message(client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        reading = prepare(json.loads(message.payload))
        row = [reading["number"], reading["force"], reading["temperature"], reading["speed"]]
        features = np.array([row], dtype=np.float32)
        scores = session.run(["scores"], {"features": features})[0]
        client.publish(answers, json.dumps(scores.tolist()), qos)

    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.on_connect = on_connect
    client.on_message = on_message
    client.connect("127.0.0.1", port)
    client.loop_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5])
