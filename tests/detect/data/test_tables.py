import pytest

from modicum.detect.data.files import AnnotatedFiles
from modicum.storage.errors import DataError


@pytest.fixture
def write_table(write_picture, write_text):
    """Function that writes three pictures of 40x30 px and a table."""

    def write(text):
        for name in ("a", "b", "c"):
            write_picture(f"images/{name}.jpg")
        return write_text("boxes.csv", text)

    return write


def found(tmp_path):
    source = AnnotatedFiles(tmp_path)
    return {
        record.id.split("/")[-1][0]: (source.sample(index).objects, record.split)
        for index, record in enumerate(source.records)
    }


def test_columns_of_tensorflow_are_read(write_table, tmp_path):
    write_table(
        "filename,width,height,class,xmin,ymin,xmax,ymax\n"
        "a.jpg,40,30,car,1,2,11,22\na.jpg,40,30,bus,3,4,5,6\nb.jpg,40,30,car,0,0,40,30\n"
    )
    assert AnnotatedFiles(tmp_path).classes == ("bus", "car")
    objects = found(tmp_path)["a"][0]
    assert (objects.boxes.tolist(), objects.labels.tolist()) == ([[1, 2, 11, 22], [3, 4, 5, 6]], [1, 0])


def test_corner_and_size_with_flags_as_of_caltech_are_read(write_table, tmp_path):
    write_table("frame,x,y,w,h,label,ignore\nimages/a.jpg,1,2,10,20,person,0\nimages/a.jpg,5,5,5,5,people,1\n")
    objects = found(tmp_path)["a"][0]
    assert (objects.boxes.tolist(), objects.ignore.tolist()) == ([[1, 2, 11, 22], [5, 5, 10, 10]], [False, True])


def test_width_and_height_beside_a_corner_are_those_of_the_box(write_table, tmp_path):
    write_table("path,class,x,y,width,height\na.jpg,car,1,2,10,20\n")
    assert found(tmp_path)["a"][0].boxes.tolist() == [[1, 2, 11, 22]]


def test_table_of_retinanet_has_no_header_and_empty_rows_for_empty_pictures(write_table, tmp_path):
    write_table("images/a.jpg,1,2,11,22,cow\nimages/b.jpg,,,,,\n")
    assert {name: len(objects) for name, (objects, _) in found(tmp_path).items()} == {"a": 1, "b": 0}


def test_open_images_has_shares_names_without_suffix_and_groups(write_table, tmp_path):
    write_table(
        "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf\n"
        "a,xclick,/m/0k4j,1,0.25,0.5,0.1,0.2,0,0,0\na,xclick,/m/0k4j,1,0,1,0,1,0,0,1\n"
    )
    objects = found(tmp_path)["a"][0]
    assert objects.boxes.tolist() == [pytest.approx([10, 3, 20, 6]), [0, 0, 40, 30]]
    assert objects.ignore.tolist() == [False, True]


def test_split_column_says_what_a_picture_is_for(write_table, tmp_path):
    write_table("path,class,x1,y1,x2,y2,split\na.jpg,car,1,2,3,4,train\nb.jpg,car,1,2,3,4,val\nc.jpg,,,,,,test\n")
    assert {name: split for name, (_, split) in found(tmp_path).items()} == {
        "a": "train",
        "b": "calibration",
        "c": "test",
    }


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a.jpg,car,1,2,x,4", "'x' is not a number: a row needs path, class and either"),
        ("a.jpg,car,9,2,3,4", "the box 9, 2, 3, 4 is turned inside out"),
        ("a.jpg,,1,2,3,4", "the class is empty"),
        ("z.jpg,car,1,2,3,4", "names 'z.jpg', which is not among the 3 pictures"),
        ("a.jpg,car,1,2,3", "'' is not a number"),
    ],
)
def test_faults_are_named_with_file_line_and_what_would_be_right(write_table, tmp_path, row, message):
    write_table(f"path,class,xmin,ymin,xmax,ymax\na.jpg,car,1,2,3,4\n{row}\n")
    with pytest.raises(DataError, match=rf"boxes\.csv, line 3:? {message}"):
        AnnotatedFiles(tmp_path)


def test_contradicting_sizes_and_unknown_splits_are_refused(write_table, tmp_path):
    write_table("path,class,xmin,ymin,xmax,ymax,width,height\na.jpg,car,1,2,3,4,40,30\na.jpg,car,1,2,3,4,40,31\n")
    with pytest.raises(DataError, match=r"line 3: \(40, 31\) contradicts \(40, 30\)"):
        AnnotatedFiles(tmp_path)
    write_table("path,class,xmin,ymin,xmax,ymax,split\na.jpg,car,1,2,3,4,dev\n")
    with pytest.raises(DataError, match=r"line 2: split must be one of train, val, .* got 'dev'"):
        AnnotatedFiles(tmp_path)


def test_table_that_names_no_boxes_is_no_annotation(write_table, tmp_path):
    write_table("path,label\na.jpg,car\n")
    with pytest.raises(DataError, match=r"holds no annotations that can be read, but 'boxes\.csv'"):
        AnnotatedFiles(tmp_path)
