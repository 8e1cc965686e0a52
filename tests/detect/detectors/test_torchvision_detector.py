import copy
import threading

import pytest
import torch
from torch.testing import assert_close
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from modicum.detect.detectors.network import LightFCOS
from modicum.detect.detectors.protocol import Detector
from modicum.detect.detectors.torchvision_detector import TorchvisionDetector
from modicum.detect.detectors.torchvision_shapes import DetectionLimits, with_parts

NAMES = (
    "fcos_resnet50_fpn",
    "retinanet_resnet50_fpn",
    "fasterrcnn_mobilenet_v3_large_fpn",
    "maskrcnn_resnet50_fpn",
    "ssdlite320_mobilenet_v3_large",
)
TRUE_PIXELS = NAMES[:4]  # all but SSD
CLASSES = ("__background__", "car", "bus")
SHAPES = [(270, 480), (288, 480), (544, 960), (100, 37), (1, 1)]


def watch(model):
    """The sizes of the tensors that enter the backbone of a model, and a function that stops looking."""
    seen = []
    handle = model.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape)))
    return seen, handle.remove


@pytest.mark.parametrize("name", TRUE_PIXELS)
def test_backbone_gets_the_true_pixels_padded_to_32(model_of, noise_image, name):
    detector = TorchvisionDetector(model_of(name), CLASSES, limits=DetectionLimits(min_score=0.3))
    seen, stop = watch(model_of(name))
    detector.detect([noise_image(*shape) for shape in SHAPES])
    stop()
    assert seen == [(1, 3, -(-height // 32) * 32, -(-width // 32) * 32) for height, width in SHAPES]
    assert seen == [(1, 3, *detector.input_shape(*shape)) for shape in SHAPES]


def test_model_by_itself_would_enlarge_every_crop_to_the_same_size(model_of, noise_image):
    """Shows the trap that the adapter is there for."""
    model = model_of("fasterrcnn_mobilenet_v3_large_fpn")
    seen, stop = watch(model)
    with torch.inference_mode():
        model([noise_image(272, 480).float() / 255])
    stop()
    assert seen == [(1, 3, 768, 1344)]


def test_ssd_squeezes_every_image_and_says_so(model_of, noise_image):
    detector = TorchvisionDetector(model_of("ssdlite320_mobilenet_v3_large"), CLASSES)
    seen, stop = watch(model_of("ssdlite320_mobilenet_v3_large"))
    (found,) = detector.detect([noise_image(200, 700)])
    stop()
    assert seen == [(1, 3, 320, 320)]
    assert detector.squeezes_to == (320, 320)
    assert found.boxes[:, 0::2].max() > 400  # boxes are in pixels of the image


@pytest.mark.parametrize("name", NAMES)
def test_answers_are_those_of_the_model_with_its_resizing_set_right(model_of, noise_image, name):
    image = noise_image(256, 320)
    detector = TorchvisionDetector(model_of(name), CLASSES, limits=DetectionLimits(0.05, 50))
    model = copy.deepcopy(model_of(name))
    if isinstance(model.transform, GeneralizedRCNNTransform) and model.transform.fixed_size is None:
        model.transform.min_size, model.transform.max_size = (256,), 320
    settings = model.roi_heads if hasattr(model, "roi_heads") else model
    settings.score_thresh, settings.detections_per_img = 0.05, 50
    if hasattr(model, "rpn"):
        count = DetectionLimits().proposals(256, 320)
        model.rpn._pre_nms_top_n = model.rpn._post_nms_top_n = {"training": count, "testing": count}
    with torch.inference_mode():
        expected = model([image.float() / 255])[0]
    (found,) = detector.detect([image])
    assert len(found) == len(expected["scores"]) > 0
    assert_close(found.scores, expected["scores"])
    assert_close(found.boxes, expected["boxes"], atol=1e-3, rtol=1e-4)
    assert torch.equal(found.labels, expected["labels"])


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_set_on_the_model(model_of, noise_image, name):
    model = model_of(name)

    def settings():
        parts = {place: part for place, part in model.named_modules() if not place.startswith("backbone")}
        plain = {place: {k: repr(v) for k, v in vars(part).items() if k[0] != "_"} for place, part in parts.items()}
        return plain, {place: id(part) for place, part in parts.items()}

    before = settings()
    detector = TorchvisionDetector(model, CLASSES, limits=DetectionLimits(0.3, 7, nms_iou=0.2))
    detector.detect([noise_image(64, 96), noise_image(128, 64)])
    plain, identities = settings()
    for place, values in before[0].items():
        changed = {key for key, value in values.items() if plain[place][key] != value} - {"cell_anchors"}
        assert not changed, (place, changed)
    assert identities == before[1]


@pytest.mark.parametrize("name", ["fcos_resnet50_fpn", "fasterrcnn_mobilenet_v3_large_fpn"])
def test_threads_with_other_shapes_do_not_disturb_each_other(model_of, noise_image, name):
    detector = TorchvisionDetector(model_of(name), CLASSES, limits=DetectionLimits(0.05, 30))
    shapes = [(64, 96), (160, 128), (96, 64), (128, 224)]
    expected = [detector.detect([noise_image(*shape)])[0] for shape in shapes]
    fresh = TorchvisionDetector(model_of(name), CLASSES, limits=DetectionLimits(0.05, 30))
    answers = {}

    def work(place):
        for _ in range(4):
            answers[place] = fresh.detect([noise_image(*shapes[place])])[0]
            assert_close(answers[place].boxes, expected[place].boxes)

    threads = [threading.Thread(target=work, args=(place,)) for place in range(len(shapes))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(answers[place]) for place in range(4)] == [len(each) for each in expected]


def test_images_of_one_shape_run_together_and_answers_keep_their_order(noise_image):
    network = LightFCOS(["car", "bus"]).eval()
    detector = TorchvisionDetector(network.fcos, network.classes, limits=DetectionLimits(0.0, 20))
    images = [noise_image(64, 96), noise_image(96, 64), 255 - noise_image(64, 96), noise_image(64, 97)]
    seen, stop = watch(network.fcos)
    together = detector.detect(images)
    stop()
    assert seen == [(2, 3, 64, 96), (1, 3, 96, 64), (1, 3, 64, 112)]
    for image, found in zip(images, together, strict=True):
        (alone,) = detector.detect([image])
        assert_close(found.scores, alone.scores, atol=1e-5, rtol=1e-4)
        assert_close(found.features, alone.features, atol=1e-4, rtol=1e-3)
    assert detector.detect([]) == []


def test_pixels_of_a_batch_are_bounded(noise_image):
    network = LightFCOS(["car"]).eval()
    detector = TorchvisionDetector(network.fcos, network.classes, batch_pixels=2 * 64 * 64)
    seen, stop = watch(network.fcos)
    detector.detect([noise_image(64, 64)] * 5)
    stop()
    assert [shape[0] for shape in seen] == [2, 2, 1]


def test_features_are_the_mean_of_the_finest_level_inside_each_box():
    network = LightFCOS(["car"]).eval()
    detector = TorchvisionDetector(network.fcos, network.classes, limits=DetectionLimits(0.0, 400))

    class Ramp(torch.nn.Module):
        def forward(self, images):  # the feature of a place is its own position, in px of the image
            rows, columns = (torch.arange(side // 8) * 8 + 4.0 for side in images.shape[-2:])
            level = torch.stack(torch.broadcast_tensors(columns[None], rows[:, None]))[None]
            level = torch.cat([level, torch.zeros(1, 62, *level.shape[-2:])], dim=1)
            return {"8": level, "16": torch.nn.functional.avg_pool2d(level, 2)}

    ramp = TorchvisionDetector(with_parts(network.fcos, backbone=Ramp()), network.classes, limits=detector.limits)
    (found,) = ramp.detect([torch.zeros(3, 128, 128, dtype=torch.uint8)])
    centre = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
    inner = ((found.boxes > 12) & (found.boxes < 116)).all(1)
    assert inner.sum() > 10
    assert_close(found.features[inner, :2], centre[inner], atol=0.6, rtol=0)


def test_limits_of_score_number_and_overlap_are_kept(model_of, noise_image):
    image = noise_image(128, 160)
    many = TorchvisionDetector(model_of("fcos_resnet50_fpn"), CLASSES, limits=DetectionLimits(0.0, 200)).detect(
        [image]
    )[0]
    few = TorchvisionDetector(model_of("fcos_resnet50_fpn"), CLASSES, limits=DetectionLimits(0.0, 9)).detect([image])[0]
    assert (len(many), len(few)) == (200, 9)
    assert few.scores.tolist() == many.scores[:9].tolist() == sorted(few.scores.tolist(), reverse=True)
    without = DetectionLimits(0.0, 9, features=False)
    assert (
        TorchvisionDetector(model_of("fcos_resnet50_fpn"), CLASSES, limits=without).detect([image])[0].features is None
    )


def test_adapters_are_detectors(model_of):
    assert isinstance(TorchvisionDetector(model_of("fcos_resnet50_fpn"), CLASSES), Detector)


def test_what_is_no_detector_is_refused(model_of):
    network = LightFCOS(["car"])
    with pytest.raises(ValueError, match=r"must be in evaluation mode: call eval\(\) on the FCOS"):
        TorchvisionDetector(network.fcos, ["car"])
    with pytest.raises(
        ValueError, match=r"must be a detector of torchvision .*, got Linear: wrap others in CallableDetector"
    ):
        TorchvisionDetector(torch.nn.Linear(1, 1), ["car"])
    with pytest.raises(ValueError, match="gives 3 labels, but 2 classes are named"):
        TorchvisionDetector(model_of("fasterrcnn_mobilenet_v3_large_fpn"), ["car", "bus"])


@pytest.mark.parametrize(
    "image", [torch.zeros(3, 8, 8), torch.zeros(8, 8, 3, dtype=torch.uint8), torch.zeros(3, 0, 8, dtype=torch.uint8)]
)
def test_what_is_no_image_is_refused(image):
    network = LightFCOS(["car"]).eval()
    with pytest.raises(ValueError, match=r"an image must be \(3, H, W\) uint8 with pixels, got"):
        TorchvisionDetector(network.fcos, ["car"]).detect([image])
