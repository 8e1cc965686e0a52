import time

import pytest

from modicum.detect.data.files import AnnotatedFiles
from modicum.storage.errors import DataError

HEAD = """<annotation>
	<folder>VOC2012</folder>
	<filename>{name}.jpg</filename>
	<size><width>{width}</width><height>{height}</height><depth>3</depth></size>
	<segmented>0</segmented>
"""
OBJECT = """	<object>
		<name>{name}</name>
		<pose>Left</pose>
		<difficult>{difficult}</difficult>
		<bndbox><xmax>{box[2]}</xmax><xmin>{box[0]}</xmin><ymax>{box[3]}</ymax><ymin>{box[1]}</ymin></bndbox>
		<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part>
	</object>
"""


@pytest.fixture
def write_voc(write_picture, write_text):
    """Function that writes a picture and its annotation in the folders of VOC."""

    def write(name, objects, size=(40, 30), base=""):
        write_picture(f"{base}JPEGImages/{name}.jpg", size)
        rows = [OBJECT.format(name=kind, difficult=flag, box=box) for kind, box, flag in objects]
        text = HEAD.format(name=name, width=size[0], height=size[1]) + "".join(rows) + "</annotation>\n"
        return write_text(f"{base}Annotations/{name}.xml", text)

    return write


def test_voc_counts_pixels_from_one_and_includes_the_last(write_voc, tmp_path):
    write_voc("2007_000027", [("person", (1, 1, 40, 30), 0), ("dog", (5, 6, 10, 12), 1)])
    source = AnnotatedFiles(tmp_path)
    objects = source.sample(0).objects
    assert source.classes == ("dog", "person")
    assert objects.boxes.tolist() == [[0, 0, 40, 30], [4, 5, 10, 12]]
    assert objects.labels.tolist() == [1, 0]
    assert objects.ignore.tolist() == [False, True]


def test_set_in_which_an_edge_is_zero_counts_from_zero(write_voc, tmp_path):
    write_voc("a", [("person", (0, 3, 10, 12), 0)])
    write_voc("b", [("person", (5, 6, 10, 12), 0)])
    assert AnnotatedFiles(tmp_path).sample(1).objects.boxes.tolist() == [[5, 6, 10, 12]]


def test_lists_of_voc_say_what_a_picture_is_for(write_voc, write_text, tmp_path):
    for name in ("a", "b", "c"):
        write_voc(name, [("person", (5, 6, 10, 12), 0)], base="VOC2012/")
    write_text("VOC2012/ImageSets/Main/train.txt", "a\n")
    write_text("VOC2012/ImageSets/Main/val.txt", "b\n")
    write_text("VOC2012/ImageSets/Main/trainval.txt", "a\nb\n")
    write_text("VOC2012/ImageSets/Main/person_train.txt", "a  1\nb -1\n")
    assert [record.split for record in AnnotatedFiles(tmp_path).records] == ["train", "calibration", None]


def test_annotation_without_objects_is_an_empty_picture(write_voc, tmp_path):
    write_voc("a", [("person", (5, 6, 10, 12), 0)])
    write_voc("b", [])
    assert [len(AnnotatedFiles(tmp_path).sample(index).objects) for index in (0, 1)] == [1, 0]


def test_labelimg_keeps_annotations_beside_pictures_and_names_them(write_picture, write_text, tmp_path):
    write_picture("photos/a.png")
    body = OBJECT.format(name="car", difficult=0, box=(1, 1, 9, 9))
    write_text("photos/a.xml", HEAD.format(name="a", width=40, height=30) + body + "</annotation>")
    assert AnnotatedFiles(tmp_path).records[0].id == "photos/a.png"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("<name>person</name>", "<name> </name>", r"line 6: the object has no <name>: state its class"),
        ("<xmin>5</xmin>", "", r"line 6: None is not a number: bndbox must hold xmin, ymin, xmax and ymax"),
        ("<xmin>5</xmin>", "<xmin>five</xmin>", r"line 6: 'five' is not a number"),
        ("<xmin>5</xmin>", "<xmin>55</xmin>", r"line 6: the box 55, 6, 10, 12 is turned inside out"),
        ("</annotation>", "", r"line 14: not XML: no element found"),
        ("<annotation>", "<annotation><x>", r"line 13: not XML: mismatched tag"),
    ],
)
def test_faults_are_named_with_file_and_line(write_voc, tmp_path, old, new, message):
    file = write_voc("a", [("person", (5, 6, 10, 12), 0)])
    file.write_text(file.read_text().replace(old, new, 1))
    with pytest.raises(DataError, match=rf"Annotations/a\.xml, {message}"):
        AnnotatedFiles(tmp_path)


@pytest.mark.parametrize(
    "declaration",
    [
        '<!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]>',
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE annotation SYSTEM "http://localhost/voc.dtd">',
    ],
    ids=["expansion", "file", "address"],
)
def test_entities_are_refused_before_anything_is_expanded(write_voc, tmp_path, declaration):
    file = write_voc("a", [("person", (5, 6, 10, 12), 0)])
    file.write_text(f"<?xml version='1.0'?>\n{declaration}\n" + file.read_text().replace("Left", "&x;"))
    begun = time.monotonic()
    with pytest.raises(DataError, match=r"a\.xml, line 2: it declares a document type, which no annotation needs"):
        AnnotatedFiles(tmp_path)
    assert time.monotonic() - begun < 5
