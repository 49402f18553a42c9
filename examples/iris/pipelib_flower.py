"""Answers a reading with the reading itself and the species that the model names."""


def exec(received):
    """Join what the nodes `in` (one reading or a list) and `predict` (a label for each) gave."""
    readings, labels = received["in"], received["predict"]
    if isinstance(readings, dict):
        return {**readings, "species": labels[0]}
    return [{**reading, "species": label} for reading, label in zip(readings, labels, strict=True)]
