"""The baseline of the language model: an interpolated character trigram."""

import numpy as np


def cross_entropy(train, tuning, test, vocabulary_size, iterations=100):
    """Nats per character of a trigram model with deleted interpolation.

    Jelinek and Mercer 1980: trigram, bigram, unigram and uniform estimates are
    mixed; the weights, one set for each range of the context's count, are fitted to
    `tuning` by expectation maximisation.

    Args:
        train, tuning, test: int arrays of character ids.
        vocabulary_size: Number of ids.

    Returns:
        Mean negative log-likelihood of `test`, in nats per character.
    """
    size = vocabulary_size
    unigrams = np.bincount(train, minlength=size) / len(train)
    bigrams = np.zeros((size, size))
    np.add.at(bigrams, (train[:-1], train[1:]), 1)
    trigrams = np.zeros((size, size, size))
    np.add.at(trigrams, (train[:-2], train[1:-1], train[2:]), 1)

    def estimates(text):
        a, b, c = text[:-2], text[1:-1], text[2:]
        seen_ab = trigrams[a, b].sum(axis=1)
        seen_b = bigrams[b].sum(axis=1)
        mixed = np.stack(
            [
                trigrams[a, b, c] / np.maximum(seen_ab, 1),
                bigrams[b, c] / np.maximum(seen_b, 1),
                unigrams[c],
                np.full(len(c), 1 / size),
            ],
            axis=1,
        )
        return mixed, np.minimum(np.log2(1 + seen_ab).astype(int), 12)

    mixed, ranges = estimates(tuning)
    weights = np.full((13, 4), 0.25)
    for _ in range(iterations):
        shares = mixed * weights[ranges]
        shares /= shares.sum(axis=1, keepdims=True)
        for i in range(13):
            if (ranges == i).any():
                weights[i] = shares[ranges == i].mean(axis=0)
    mixed, ranges = estimates(test)
    return float(-np.log((mixed * weights[ranges]).sum(axis=1)).mean())
