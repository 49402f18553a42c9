"""Go on training a small neural network that tells iris species apart, from the rows that came since the last version.

The weights of the last version are the start. A network trained on new rows alone forgets what they lack, so a sample
of earlier rows travels along with the weights and is learnt again; the rows it is tested with travel too.
"""

import hashlib
import json
import os
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"  # the log is for the training's own lines

import keras
import numpy as np
import tensorflow as tf
import tf2onnx

FEATURES = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
SPECIES = ["setosa", "versicolor", "virginica"]
EPOCHS = 100
TEST_SHARE = 0.25
MOST_ROWS_KEPT = 1000

kept = Path(os.environ["additional_output_folder_path"])
NETWORK, ROWS = kept / "network.keras", kept / "rows.json"


def fingerprint(row):
    measured = json.dumps([float(row[name]) for name in FEATURES])
    return hashlib.sha256(measured.encode()).hexdigest()


def is_for_testing(row):
    # Decided by the measurements alone: a flower seen twice, even years apart, is never both learnt and tested with.
    return int(fingerprint(row)[:8], 16) < TEST_SHARE * 2**32


def merge_rows(new_rows):
    earlier = json.loads(ROWS.read_text()) if ROWS.exists() else []
    by_fingerprint = {fingerprint(row): row for row in [*earlier, *new_rows]}
    ordered = [row for _, row in sorted(by_fingerprint.items())]
    training_rows = [row for row in ordered if not is_for_testing(row)]
    # The lowest fingerprints are a random sample that hardly changes, so versions stay comparable.
    test_rows = [row for row in ordered if is_for_testing(row)][:MOST_ROWS_KEPT]
    ROWS.write_text(json.dumps([*test_rows, *training_rows[:MOST_ROWS_KEPT]]))
    return training_rows, test_rows


def measurements(rows):
    return np.array([[row[name] for name in FEATURES] for row in rows], dtype="float32")


def labels(rows):
    return np.array([SPECIES.index(row["species"]) for row in rows])


def load_network():
    if NETWORK.exists():
        return keras.models.load_model(NETWORK)
    network = keras.Sequential(
        [
            keras.Input((len(FEATURES),)),
            keras.layers.Rescaling(0.2),  # centimetres to about one
            keras.layers.Dense(16, activation="tanh"),
            keras.layers.Dense(len(SPECIES), activation="softmax"),
        ]
    )
    network.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return network


class Progress(keras.callbacks.Callback):
    """Prints now and then, and appends every epoch's loss to the run's progress."""

    def on_epoch_end(self, epoch, logs=None):
        """Called by Keras."""
        if epoch % 20 == 19:
            print(f"epoch {epoch + 1}: loss {logs['loss']:.4f}")
        if "progress_path" in os.environ:
            with Path(os.environ["progress_path"]).open("a") as progress:
                progress.write(json.dumps({"step": epoch + 1, "loss": logs["loss"]}) + "\n")


def export(network, path):
    # The converter wants a functional model, which a Sequential one is not.
    functional = keras.Model(network.inputs, network.outputs)
    signature = [tf.TensorSpec((None, len(FEATURES)), tf.float32, name="measurements")]
    tf2onnx.convert.from_keras(functional, input_signature=signature, output_path=path)


def main():
    keras.utils.set_random_seed(1)
    rows = json.loads(Path(os.environ["collection_data_1_path"]).read_text())
    known = [{name: row[name] for name in [*FEATURES, "species"]} for row in rows if row["species"] in SPECIES]
    training_rows, test_rows = merge_rows(known)
    print(f"{len(rows)} new rows; learning from {len(training_rows)} with the earlier ones")
    if not training_rows or not test_rows:
        raise SystemExit("too few rows to both learn and test; they stay new for the next run")

    network = load_network()
    if NETWORK.exists():
        _, before = network.evaluate(measurements(test_rows), labels(test_rows), verbose=0)
        print(f"previous version: accuracy {before:.3f} on {len(test_rows)} test rows")
    network.fit(measurements(training_rows), labels(training_rows), 16, EPOCHS, verbose=0, callbacks=[Progress()])
    _, accuracy = network.evaluate(measurements(test_rows), labels(test_rows), verbose=0)
    print(f"this version: accuracy {accuracy:.3f} on {len(test_rows)} test rows")

    export(network, os.environ["model_file_path"])
    Path(os.environ["accuracy_path"]).write_text(str(accuracy))
    network.save(NETWORK)


if __name__ == "__main__":
    main()
