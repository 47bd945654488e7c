"""Writes evaluation.json: what pycocotools and tidecv make of the cases in it.

Run by hand, with the directory that holds coco-tiny/:

    python evaluation.py DATASETS        # pycocotools 2.0.11, tidecv 1.0.1, numpy 2.4

Detections are not stored. They are drawn by the rule of `detections` below, which ../evaluation_support/mod.rs repeats:
integers from splitmix64, and sums and products in the same order, so that both have the same bits.
"""

import contextlib
import io
import json
import pathlib
import sys

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from tidecv import TIDE, Data

MASK = (1 << 64) - 1


def mix(word):
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    word = (word ^ (word >> 27)) * 0x94D049BB133111EB & MASK
    return word ^ (word >> 31)


class Random:
    def __init__(self, seed):
        self.state = seed

    def next(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        return mix(self.state)

    def below(self, count):
        return (self.next() >> 32) * count >> 32

    def score(self, levels):
        """One of so many scores from -0.25 on in steps of 1/16, or any from 0 to 1 if there are 0 levels."""
        if levels:
            return (self.below(levels) - 4) / 16
        return (self.next() >> 11) / 2.0**53


def digest(array):
    """A sum of words that tells apart any two arrays with a bit of difference, whatever its place."""
    bits = np.ascontiguousarray(array, dtype=np.float64).reshape(-1).view(np.uint64)
    with np.errstate(over="ignore"):

        def mixed(word):
            word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            return word ^ (word >> np.uint64(31))

        places = mixed(np.arange(1, len(bits) + 1, dtype=np.uint64))
        return f"{int(mixed(bits ^ places).sum(dtype=np.uint64)):016x}"


def bits(values):
    return [f"{int(np.float64(value).view(np.uint64)):016x}" for value in values]


# An annotation is (id, image, category, x, y, width, height, area, crowd);
# a detection is (image, category, x, y, width, height, score).


def labels(random, spec):
    images = list(range(1, spec["images"] + 1))
    categories = list(range(1, spec["categories"] + 1))
    grid = spec["grid"]
    annotations = []
    for image in images:
        for _ in range(random.below(spec["annotations"] + 1)):
            category = 1 + random.below(spec["categories"])
            x = random.below(64) * grid
            y = random.below(64) * grid
            width = (1 + random.below(16)) * grid
            height = (1 + random.below(16)) * grid
            # Mostly the whole box, as it decides which areas are exactly on a limit.
            quarters = 4 - max(random.below(8) - 4, 0)
            area = width * height * quarters / 4
            crowd = random.below(16) < spec["crowds"]
            annotations.append((len(annotations) + 1, image, category, x, y, width, height, area, crowd))
    return images, categories, annotations


def detections(random, spec, images, categories, annotations):
    found = []
    jitter = spec["jitter"]
    for _, image, category, x, y, width, height, _, _ in annotations:
        if random.below(16) >= spec["found"]:
            continue
        for _ in range(1 + random.below(spec["copies"])):
            dx, dy, dw, dh = ((random.below(2 * jitter + 1) - jitter) / 64 for _ in range(4))
            box = (x + width * dx, y + height * dy, width + width * dw, height + height * dh)
            label = category
            if random.below(16) < spec["mislabelled"]:
                label = categories[random.below(len(categories))]
            found.append((image, label, *box, random.score(spec["levels"])))
    for image in images:
        for _ in range(random.below(spec["noise"] + 1)):
            label = categories[random.below(len(categories))]
            box = (random.below(400), random.below(400), 1 + random.below(200), 1 + random.below(200))
            found.append((image, label, *map(float, box), random.score(spec["levels"])))
    for last in range(len(found) - 1, 0, -1):
        other = random.below(last + 1)
        found[last], found[other] = found[other], found[last]
    return found


def coco_labels(directory, split):
    data = json.loads((directory / f"coco-tiny/annotations/instances_{split}2017.json").read_text())
    images = sorted(image["id"] for image in data["images"])
    categories = sorted(category["id"] for category in data["categories"])
    annotations = [
        (a["id"], a["image_id"], a["category_id"], *a["bbox"], a["area"], bool(a["iscrowd"]))
        for a in data["annotations"]
    ]
    return images, categories, annotations


def coco(images, categories, annotations):
    loaded = COCO()
    loaded.dataset = {
        "images": [{"id": image} for image in images],
        "categories": [{"id": category, "name": str(category)} for category in categories],
        "annotations": annotations,
    }
    loaded.createIndex()
    return loaded


def pycocotools(images, categories, annotations, found, parameters):
    truth = coco(
        images,
        categories,
        [
            {"id": id, "image_id": image, "category_id": category, "bbox": box, "area": area, "iscrowd": int(crowd)}
            for id, image, category, *box, area, crowd in annotations
        ],
    )
    results = [
        {"image_id": image, "category_id": category, "bbox": box, "score": score}
        for image, category, *box, score in found
    ]
    results = truth.loadRes(results) if results else coco(images, categories, [])
    evaluation = COCOeval(truth, results, "bbox")
    names = {"iou_thresholds": "iouThrs", "recall_thresholds": "recThrs", "max_detections": "maxDets"}
    for name, value in parameters.items():
        if name == "areas":
            evaluation.params.areaRngLbl = [area[0] for area in value]
            evaluation.params.areaRng = [area[1:] for area in value]
        else:
            setattr(evaluation.params, names[name], value if name == "max_detections" else np.array(value))
    evaluation.evaluate()
    evaluation.accumulate()
    expected = {name: digest(evaluation.eval[name]) for name in ("precision", "recall", "scores")}
    if len(evaluation.params.maxDets) >= 3:
        text = io.StringIO()
        with contextlib.redirect_stdout(text):
            evaluation.summarize()
        expected["stats"] = bits(evaluation.stats)
        expected["summary"] = text.getvalue()
    precision = evaluation.eval["precision"]
    means = []
    for index in range(len(categories)):
        own = precision[:, :, index, 0, -1]
        own = own[own > -1]
        means.append(np.mean(own) if own.size else -1)
    expected["category_ap"] = bits(means)
    return expected


def tide(images, categories, annotations, found):
    truth, results = Data("truth", max_dets=100), Data("results")
    for category in categories:
        truth.add_class(category, str(category))
    for image in images:
        truth.add_image(image, str(image))
    for _, image, category, *box, _, crowd in annotations:
        (truth.add_ignore_region if crowd else truth.add_ground_truth)(image, category, list(box))
    for image, category, *box, score in found:
        results.add_detection(image, category, score, list(box))
    errors = TIDE()
    run = errors.evaluate(truth, results)
    counts = {kind.short_name: count for kind, count in run.count_errors().items()}
    main = {kind.short_name: gain for kind, gain in run.fix_main_errors().items()}
    special = {kind.short_name: gain for kind, gain in run.fix_special_errors().items()}
    return {"ap": float(run.ap), "counts": counts, "gains": {k: float(v) for k, v in {**main, **special}.items()}}


def explicit(name, images, categories, annotations, found, parameters=None):
    annotations = [(index + 1, *annotation) for index, annotation in enumerate(annotations)]
    return {
        "name": name,
        "labels": {"images": images, "categories": categories, "annotations": annotations},
        "detections": found,
        "parameters": parameters or {},
    }


def drawn(name, parameters=None, **spec):
    default = {
        "seed": 1, "images": 20, "categories": 5, "annotations": 8, "grid": 8.0, "crowds": 0, "found": 14, "copies": 2,
        "jitter": 8, "mislabelled": 2, "noise": 4, "levels": 0,
    }
    return {"name": name, "rule": {**default, **spec}, "parameters": parameters or {}}


BOX = (0.0, 0.0, 100.0, 100.0)
CASES = [
    explicit("one box, found", [1], [1], [(1, 1, *BOX, 1e4, False)], [(1, 1, *BOX, 0.5)]),
    explicit("one box, missed", [1], [1], [(1, 1, *BOX, 1e4, False)], [(1, 1, 200.0, 0.0, 9.0, 9.0, 0.5)]),
    explicit("no detection at all", [1, 2], [1, 2], [(1, 1, *BOX, 1e4, False), (2, 2, *BOX, 1e4, False)], []),
    explicit("no annotation at all", [1, 2], [1, 2], [], [(1, 1, *BOX, 0.5)]),
    explicit("neither", [1], [1, 3], [], []),
    explicit(
        "an image without annotations, a category without, and a category without detections",
        [1, 2, 7],
        [1, 2, 9],
        [(1, 1, *BOX, 1e4, False), (7, 9, *BOX, 500.0, False)],
        [(2, 1, *BOX, 0.9), (1, 1, *BOX, 0.8), (2, 2, *BOX, 0.7), (1, 2, *BOX, 0.6)],
    ),
    explicit(
        "only a crowd",
        [1],
        [1],
        [(1, 1, *BOX, 1e4, True)],
        [(1, 1, *BOX, 0.9), (1, 1, 10.0, 10.0, 5.0, 5.0, 0.8)],
    ),
    explicit(
        "a crowd is matched many times, and after the box beside it",
        [1],
        [1],
        [(1, 1, *BOX, 1e4, True), (1, 1, 0.0, 0.0, 50.0, 50.0, 2500.0, False)],
        [
            (1, 1, 0.0, 0.0, 50.0, 50.0, 0.9),
            (1, 1, 0.0, 0.0, 50.0, 48.0, 0.8),
            (1, 1, 50.0, 50.0, 50.0, 50.0, 0.7),
            (1, 1, 90.0, 50.0, 50.0, 50.0, 0.6),
        ],
    ),
    explicit(
        "of equal overlaps the later annotation is taken",
        [1],
        [1],
        [(1, 1, 0.0, 0.0, 10.0, 10.0, 100.0, False), (1, 1, 4.0, 0.0, 10.0, 10.0, 100.0, False)],
        [(1, 1, 2.0, 0.0, 10.0, 10.0, 0.9), (1, 1, 4.5, 0.0, 10.0, 10.0, 0.8), (1, 1, 0.5, 0.0, 10.0, 10.0, 0.7)],
    ),
    explicit(
        "of equal scores the earlier detection counts",
        [1, 2],
        [1],
        [(1, 1, *BOX, 1e4, False), (2, 1, *BOX, 1e4, False)],
        [(2, 1, *BOX, 0.5), (2, 1, *BOX, 0.5), (1, 1, 50.0, 0.0, 10.0, 10.0, 0.5), (1, 1, *BOX, 0.5)],
    ),
    explicit(
        "areas on the limits",
        [1],
        [1],
        [
            (1, 1, 0.0, 0.0, 32.0, 32.0, 1024.0, False),
            (1, 1, 100.0, 0.0, 96.0, 96.0, 9216.0, False),
            (1, 1, 300.0, 0.0, 32.0, 32.0, 1023.9999, False),
            (1, 1, 400.0, 0.0, 96.0, 96.0, 9216.0001, False),
        ],
        [
            (1, 1, 0.0, 0.0, 32.0, 32.0, 0.9),
            (1, 1, 100.0, 0.0, 96.0, 96.0, 0.8),
            (1, 1, 300.0, 0.0, 32.0, 32.0, 0.7),
            (1, 1, 400.0, 0.0, 96.0, 96.0, 0.6),
            (1, 1, 600.0, 0.0, 32.0, 32.0, 0.5),
            (1, 1, 700.0, 0.0, 96.0, 96.0, 0.4),
        ],
    ),
    explicit(
        "scores of zero, negative zero and less",
        [1, 2],
        [1],
        [(1, 1, *BOX, 1e4, False), (2, 1, *BOX, 1e4, False)],
        [(1, 1, 50.0, 0.0, 9.0, 9.0, -0.0), (1, 1, *BOX, 0.0), (2, 1, *BOX, -1.5), (2, 1, *BOX, -2.5)],
    ),
    explicit(
        "an exact copy, whose overlap is rounded to less than 1",
        [1],
        [1],
        [(1, 1, 212.6, 213.6, 10.7, 16.05, 150.0, False), (1, 1, 0.0, 0.0, 9.0, 9.0, 81.0, False)],
        [(1, 1, 212.6, 213.6, 10.7, 16.05, 0.9), (1, 1, 0.0, 0.0, 9.0, 8.9999, 0.8)],
        {"iou_thresholds": [0.5, 1.0]},
    ),
    explicit(
        "boxes without extent",
        [1],
        [1],
        [(1, 1, 10.0, 10.0, 5.5, 0.0, 0.0, False), (1, 1, 0.0, 0.0, 20.0, 20.0, 300.0, False)],
        [(1, 1, 10.0, 10.0, 5.5, 0.0, 0.9), (1, 1, 0.0, 0.0, 20.0, 20.0, 0.8), (1, 1, 5.0, 5.0, -3.0, -3.0, 0.7)],
    ),
    drawn("drawn"),
    drawn("drawn again", seed=2, images=40, categories=12, jitter=12),
    drawn("many crowds", seed=3, crowds=5, annotations=10),
    drawn("equal scores", seed=4, levels=6, copies=3),
    drawn("equal scores and overlaps", seed=5, levels=12, copies=3, jitter=1, grid=16.0, annotations=20, categories=2),
    drawn("more than 100 detections of an image", seed=6, images=4, categories=2, noise=600, annotations=30),
    drawn("more than 100 detections, equal scores", seed=7, images=4, categories=1, noise=300, levels=20, crowds=2),
    drawn("many categories without annotations", seed=8, categories=60, images=6, annotations=4),
    drawn(
        "other thresholds, numbers and areas",
        seed=9,
        parameters={
            "iou_thresholds": [0.1, 0.3, 0.5, 0.75, 1.0],
            "recall_thresholds": [0.05, 0.3, 0.7, 1.0],
            "max_detections": [2, 5, 20, 300],
            "areas": [["all", 0.0, 1e10], ["tiny", 0.0, 512.0], ["large", 9216.0, 1e10]],
        },
    ),
    drawn(
        "more thresholds than a word has bits",
        seed=10,
        copies=3,
        crowds=2,
        parameters={"iou_thresholds": [(index + 20) / 128 for index in range(101)], "recall_thresholds": [0.0, 0.5]},
    ),
    drawn("one number of detections", seed=11, parameters={"max_detections": [100]}),
    drawn("more than 100 detections count", seed=12, images=3, noise=500, categories=1,
          parameters={"max_detections": [1, 50, 300]}),
]
for split, seed in [("val", 21), ("val", 22), ("train", 23), ("train", 24), ("val", 25)]:
    rule = {
        "seed": seed, "split": split, "found": 13, "copies": 3, "jitter": 6 + seed % 5 * 2, "mislabelled": seed % 4,
        "noise": 10, "levels": 40 if seed == 25 else 0,
    }
    CASES.append({"name": f"COCO {split}, seed {seed}", "rule": rule, "parameters": {}})


def main():
    directory = pathlib.Path(sys.argv[1])
    for case in CASES:
        if "rule" in case:
            rule = case["rule"]
            random = Random(rule["seed"])
            parts = coco_labels(directory, rule["split"]) if "split" in rule else labels(random, rule)
            found = detections(random, rule, *parts)
        else:
            parts, found = tuple(case["labels"].values()), case["detections"]
        images, categories, annotations = parts
        case["detection_count"] = len(found)
        case["expected"] = pycocotools(images, categories, annotations, found, case["parameters"])
        # tidecv divides by zero where nothing counts.
        if found and not all(crowd for *_, crowd in annotations):
            case["errors"] = tide(images, categories, annotations, found)
        if case["name"] == "one box, found":
            renumbered = [(0, *annotation[1:]) for annotation in annotations]
            case["stats_with_id_0"] = pycocotools(images, categories, renumbered, found, case["parameters"])["stats"]
    lines = ",\n".join(json.dumps(case) for case in CASES)
    pathlib.Path(__file__).with_suffix(".json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
