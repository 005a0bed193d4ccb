#!/usr/bin/env python3
"""Trains the model of this example: which language is a line of source code written in?

    train.py               data.tsv -> model.bin, and the accuracy on lines that were not trained on
    train.py collect ROOT  ROOT's files -> data.tsv (once; the data set is shipped, so that training gives the same file)

Multinomial logistic regression on hashed n-grams of one to three bytes, trained by plain gradient descent in a fixed order:
the same data give the same bytes. Python 3.9, its standard library.
"""
import json, math, pathlib, random, re, sys

HERE = pathlib.Path(__file__).parent
KINDS = {"rust": "rs", "python": "py", "sql": "sql", "toml": "toml", "markdown": "md", "json": "json"}
SIZE, GRAMS, EPOCHS, RATE, EACH, HELD_OUT = 1024, (1, 2, 3), 30, 0.5, 180, 40


def bucket(gram):
    """FNV-1a, which is a few lines in any language."""
    value = 0x811C9DC5
    for byte in gram:
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value % SIZE


def features(line):
    counts, line = {}, line.strip().encode()
    for n in GRAMS:
        for start in range(len(line) - n + 1):
            at = bucket(line[start : start + n])
            counts[at] = counts.get(at, 0) + 1
    norm = math.sqrt(sum(count * count for count in counts.values())) or 1
    return [(at, count / norm) for at, count in sorted(counts.items())]


def collect(root):
    """Lines of this project's own files, the same number of each kind, no line twice."""
    draw, rows = random.Random(7246), []
    for kind, ending in KINDS.items():
        files = sorted(path for path in root.rglob(f"*.{ending}") if not {"target", ".git", "predict"} & set(path.parts))
        lines = {line.strip() for path in files for line in path.read_text().splitlines() if 18 <= len(line.strip()) <= 90}
        lines = sorted(line for line in lines if "\t" not in line and re.search("[a-z]", line))
        rows += [(kind, line) for line in draw.sample(lines, min(EACH, len(lines)))]
    (HERE / "data.tsv").write_text("".join(f"{kind}\t{line}\n" for kind, line in rows))


def scores(weights, biases, x):
    return [bias + sum(row[at] * value for at, value in x) for row, bias in zip(weights, biases)]


def main():
    rows = [line.split("\t", 1) for line in (HERE / "data.tsv").read_text().splitlines()]
    names, train, test = list(KINDS), [], []
    for name in names:
        lines = [line for kind, line in rows if kind == name]
        train += [(names.index(name), features(line)) for line in lines[HELD_OUT:]]
        test += [(names.index(name), features(line)) for line in lines[:HELD_OUT]]
    random.Random(1).shuffle(train)
    weights, biases = [[0.0] * SIZE for _ in names], [0.0] * len(names)
    for epoch in range(EPOCHS):
        rate = RATE / (1 + epoch / 5)
        for truth, x in train:
            values = scores(weights, biases, x)
            highest = max(values)
            powers = [math.exp(value - highest) for value in values]
            for kind, power in enumerate(powers):
                step = rate * ((kind == truth) - power / sum(powers))
                biases[kind] += step
                row = weights[kind]
                for at, value in x:
                    row[at] += step * value
    # One byte a weight: what is shipped is what is measured.
    scale = max(abs(weight) for row in weights for weight in row) / 127
    bytes_ = [[round(weight / scale) for weight in row] for row in weights]
    biases = [round(bias, 4) for bias in biases]
    small = [[byte * scale for byte in row] for row in bytes_]
    right = sum(max(range(len(names)), key=scores(small, biases, x).__getitem__) == truth for truth, x in test)
    head = {"kinds": names, "size": SIZE, "scale": scale, "biases": biases, "accuracy": round(right / len(test), 3)}
    body = bytes(byte & 0xFF for row in bytes_ for byte in row)
    (HERE / "model.bin").write_bytes(json.dumps(head).encode() + b"\n" + body)
    print(f"{right} of {len(test)} lines that were not trained on: {right / len(test):.1%}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["collect"]:
        collect(pathlib.Path(sys.argv[2]))
    else:
        main()
