"""Go on learning iris species from the rows that came since the last version.

Gaussian naive Bayes only needs counts, means and variances, so learning new rows alone gives the very classifier that
all rows together would give. What it has learnt and the rows it is tested with travel from version to version.
"""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.metrics import log_loss
from sklearn.naive_bayes import GaussianNB

FEATURES = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
SPECIES = ["setosa", "versicolor", "virginica"]
BATCH_ROWS = 25
TEST_SHARE = 0.25
MOST_TEST_ROWS = 1000

kept = Path(os.environ["additional_output_folder_path"])
LEARNT, TEST_ROWS = kept / "classifier.json", kept / "test_rows.json"


def fingerprint(row):
    measured = json.dumps([float(row[name]) for name in FEATURES])
    return hashlib.sha256(measured.encode()).hexdigest()


def is_for_testing(row):
    # Decided by the measurements alone: a flower seen twice, even years apart, is never both learnt and tested with.
    return int(fingerprint(row)[:8], 16) < TEST_SHARE * 2**32


def measurements(rows):
    return np.array([[row[name] for name in FEATURES] for row in rows], dtype=float)


def labels(rows):
    return np.array([row["species"] for row in rows])


def load_classifier():
    # Equal priors: how often a species was seen so far says nothing about the next flower.
    classifier = GaussianNB(priors=[1 / len(SPECIES)] * len(SPECIES))
    if LEARNT.exists():
        for name, value in json.loads(LEARNT.read_text()).items():
            setattr(classifier, name, np.asarray(value))
    return classifier


def save_classifier(classifier):
    # Plain numbers, not a pickle: a later scikit-learn can read them too.
    learnt = {name: np.asarray(value).tolist() for name, value in vars(classifier).items() if name.endswith("_")}
    LEARNT.write_text(json.dumps(learnt))


def merge_test_rows(new_rows):
    earlier = json.loads(TEST_ROWS.read_text()) if TEST_ROWS.exists() else []
    by_fingerprint = {fingerprint(row): row for row in [*earlier, *new_rows]}
    # The lowest fingerprints are a random sample that hardly changes, so versions stay comparable.
    merged = [row for _, row in sorted(by_fingerprint.items())][:MOST_TEST_ROWS]
    TEST_ROWS.write_text(json.dumps(merged))
    return merged


def report_progress(step, loss):
    if "progress_path" in os.environ:
        with Path(os.environ["progress_path"]).open("a") as progress:
            progress.write(json.dumps({"step": step, "loss": loss}) + "\n")


def learn(classifier, rows, test_rows):
    for step, start in enumerate(range(0, len(rows), BATCH_ROWS), start=1):
        batch = rows[start : start + BATCH_ROWS]
        classifier.partial_fit(measurements(batch), labels(batch), classes=SPECIES)
        loss = log_loss(labels(test_rows), classifier.predict_proba(measurements(test_rows)), labels=SPECIES)
        print(f"batch {step}: {len(batch)} rows, test loss {loss:.4f}")
        report_progress(step, loss)


def main():
    rows = json.loads(Path(os.environ["collection_data_1_path"]).read_text())
    known = [{name: row[name] for name in [*FEATURES, "species"]} for row in rows if row["species"] in SPECIES]
    training_rows = [row for row in known if not is_for_testing(row)]
    test_rows = merge_test_rows([row for row in known if is_for_testing(row)])
    print(f"{len(rows)} new rows: {len(training_rows)} to learn, {len(rows) - len(known)} of unknown species left out")
    if not training_rows or not test_rows:
        raise SystemExit("too few rows to both learn and test; they stay new for the next run")

    classifier = load_classifier()
    if hasattr(classifier, "theta_"):
        before = classifier.score(measurements(test_rows), labels(test_rows))
        print(f"previous version: accuracy {before:.3f} on {len(test_rows)} test rows")
    learn(classifier, training_rows, test_rows)
    accuracy = classifier.score(measurements(test_rows), labels(test_rows))
    print(f"this version: accuracy {accuracy:.3f} on {len(test_rows)} test rows")

    inputs = [("measurements", FloatTensorType([None, len(FEATURES)]))]
    exported = to_onnx(classifier, initial_types=inputs, options={"zipmap": False})
    Path(os.environ["model_file_path"]).write_bytes(exported.SerializeToString())
    Path(os.environ["accuracy_path"]).write_text(str(accuracy))
    save_classifier(classifier)


if __name__ == "__main__":
    main()
