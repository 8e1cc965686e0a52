"""Random detections of random objects, some of them crowds, for tests of measures."""

import numpy as np
import torch

from modicum.detect.boxes import Detections, Objects


def draw_image(random, num_classes=2):
    """Objects of one image and detections near some of them, beside false alarms; either may be none."""
    count = int(random.integers(0, 7))
    corners = random.uniform(0, 500, (count, 2))
    sides = np.exp(random.uniform(np.log(8), np.log(200), (count, 2)))
    boxes = np.concatenate([corners, corners + sides], axis=1)
    labels = random.integers(0, num_classes, count)
    objects = Objects(as_boxes(boxes), torch.from_numpy(labels), torch.from_numpy(random.random(count) < 0.2))
    near = random.integers(0, max(count, 1), int(random.integers(0, 12)) * (count > 0))
    jittered = boxes[near] + random.normal(0, 0.08, (len(near), 4)) * np.tile(sides[near], 2)
    alarms = np.concatenate([random.uniform(0, 500, (3, 2)), random.uniform(500, 600, (3, 2))], axis=1)
    found = np.concatenate([jittered, alarms])
    found = np.concatenate([np.minimum(found[:, :2], found[:, 2:]), np.maximum(found[:, :2], found[:, 2:])], axis=1)
    classes = np.concatenate([labels[near], random.integers(0, num_classes, 3)]).astype(np.int64)
    scores = torch.from_numpy(random.random(len(found)).astype(np.float32))
    return Detections(as_boxes(found), scores, torch.from_numpy(classes)), objects


def draw_images(seed, count, num_classes=2):
    random = np.random.default_rng(seed)
    pairs = [draw_image(random, num_classes) for _ in range(count)]
    return [found for found, _ in pairs], [objects for _, objects in pairs]


def as_boxes(rows):
    return torch.from_numpy(np.asarray(rows, dtype=np.float32).reshape(-1, 4))
