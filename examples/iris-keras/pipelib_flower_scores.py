"""Answers a reading with the reading itself and the species that the model finds likeliest."""

SPECIES = ("setosa", "versicolor", "virginica")


def exec(received):
    """Join what the nodes `in` (one reading) and `predict` (a score for each species) gave."""
    scores = received["predict"][0]
    likeliest = max(range(len(SPECIES)), key=scores.__getitem__)
    return {**received["in"], "species": SPECIES[likeliest], "score": scores[likeliest]}
