"""A measuring device: publishes real iris flowers, one after another, as a device in a factory would.

python examples/iris/device.py --broker mqtt://127.0.0.1:1883 --per-second 5
"""

import argparse
import json
import random
import time
from urllib.parse import unquote, urlsplit

from paho.mqtt import client as mqtt
from sklearn.datasets import load_iris

FEATURES = ("sepal_length", "sepal_width", "petal_length", "petal_width")


def flowers(seed):
    """Every measured flower once, in a random order that the seed decides."""
    data = load_iris()
    rows = [
        {**dict(zip(FEATURES, map(float, values), strict=True)), "species": str(data.target_names[target])}
        for values, target in zip(data.data, data.target, strict=True)
    ]
    random.Random(seed).shuffle(rows)
    return rows


def connect(broker):
    address = urlsplit(broker)
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    if address.username:
        client.username_pw_set(unquote(address.username), unquote(address.password or ""))
    if address.scheme == "mqtts":
        client.tls_set()
    client.connect(address.hostname, address.port or (8883 if address.scheme == "mqtts" else 1883))
    client.loop_start()
    return client


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--broker", default="mqtt://127.0.0.1:1883", help="mqtt[s]://[user:password@]host[:port]")
    options.add_argument("--topic", default="factory/scanner-1/iris")
    options.add_argument("--count", type=int, default=150, help="how many flowers (they repeat after 150)")
    options.add_argument("--per-second", type=float, default=5.0)
    options.add_argument("--seed", type=int, default=1, help="of the order")
    given = options.parse_args()
    rows = flowers(given.seed)
    client = connect(given.broker)
    try:
        for index in range(given.count):
            client.publish(given.topic, json.dumps(rows[index % len(rows)]), qos=1).wait_for_publish(timeout=30)
            time.sleep(1 / given.per_second)
        print(f"published {given.count} flowers on {given.topic}")
    finally:
        client.disconnect()
        client.loop_stop()


if __name__ == "__main__":
    main()
