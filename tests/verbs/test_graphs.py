import json

import pytest
import yaml

from modicum import verbs
from modicum.cli import main
from modicum.flags import parse_training, verb_parser
from modicum.graphs.preparation import prepare
from modicum.graphs.recipe import GraphsRecipe
from modicum.graphs.training import fit
from modicum.recipes import build_recipe, recipe_text
from modicum.storage import DataError, RecipeError, RunError, RunFolder
from modicum.systems import task_of

pytest.importorskip("pandas", reason="the graphs extra is not installed")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Sixty rows: y is twice a, but for the colour."""
    rows = [f"{n},{'red' if n % 3 else 'green'},{2 * n + 5 * (n % 3 > 0)}" for n in range(60)]
    path = tmp_path_factory.mktemp("tables") / "t.csv"
    path.write_text("a,colour,y\n" + "\n".join(rows) + "\n")
    return path


@pytest.fixture(scope="module")
def run(table, tmp_path_factory):
    options = {"data": str(table), "target": "y", "max_error": 1.0, "search": {"rounds": 2, "restarts": 1}}
    recipe = build_recipe(GraphsRecipe, options)
    folder = tmp_path_factory.mktemp("runs") / "run"
    text = recipe_text(recipe)
    run = RunFolder.create(folder, system="graphs", recipe_text=text, command="modicum train graphs", versions={})
    fit(recipe, run)
    return run


def test_bound_may_be_written_with_a_dash(table):
    words = ["graphs", "--data", str(table), "--target=y", "--max-error", "0.05", "--search.rounds=3"]
    recipe = parse_training(verb_parser("train", ""), words)["recipe"]
    assert (recipe.max_error, recipe.target, recipe.search.rounds) == (0.05, "y", 3)
    recipe = parse_training(verb_parser("train", ""), ["graphs", "--max-error=null", "--max-complexity=12"])["recipe"]
    assert recipe.max_complexity == 12


def test_values_keep_their_dashes():
    words = ["graphs", "--data", "my-table.csv", "--target=net-weight"]
    recipe = parse_training(verb_parser("train", ""), words)["recipe"]
    assert (recipe.data, recipe.target) == ("my-table.csv", "net-weight")


def test_report_shows_table_formula_and_graph(run):
    report = verbs.report(run.path)
    titles = [section.title for section in report.sections]
    assert titles == ["Size and error", "Complexity against error", "The graph", "The formula", "The search"]
    page = run.report.read_text()
    for words in (
        "smallest layered network",
        "[colour=red]",
        "modicum train graphs",
        "linear regression",
    ):
        assert words in page
    assert verbs.figures(run.path).headline == report.headline


def test_compare_puts_runs_beside_their_baselines(run):
    verbs.evaluate(run.path)
    compared = verbs.compare([run.path])
    assert [row.cells[0] for row in compared.sections[0].table.rows if row.is_ours] == [str(run.path)]


def test_predict_writes_a_table_and_prints_the_error(run, table, tmp_path, capsys):
    assert main(["predict", str(run.path), str(table), "-o", str(tmp_path / "out"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["values"]) == 60
    assert found["rmse"] <= 1.0
    assert found["files"]["table"].startswith(str(tmp_path / "out" / "t_predicted."))
    assert len((tmp_path / "out" / "t_predicted.csv").read_text().splitlines()) == 61


def test_tables_of_a_folder_are_predicted_and_broken_ones_named(run, table, tmp_path, capsys):
    (tmp_path / "a.csv").write_text(table.read_text())
    (tmp_path / "b.csv").write_text("a\n1\n")
    assert main(["predict", str(run.path), str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    output = capsys.readouterr()
    assert "60 rows" in output.out
    assert "the table has no column 'colour'" in output.err


def test_inputs_of_one_name_are_refused(run, table, tmp_path):
    with pytest.raises(RecipeError, match=r"would both be written as .*t_predicted\.csv: name each input once"):
        list(verbs.predict(run.path, [table, table], out=tmp_path))


def test_folder_without_tables_is_refused(run, tmp_path):
    with pytest.raises(DataError, match="holds neither table nor image"):
        list(verbs.predict(run.path, [tmp_path]))


def test_run_without_graph_cannot_be_evaluated(run, tmp_path):
    text = run.recipe.read_text()
    unfinished = RunFolder.create(tmp_path / "new", system="graphs", recipe_text=text, command="", versions={})
    from modicum.graphs.judging import evaluate_run

    with pytest.raises(RunError, match=r"has no model\.safetensors yet: finish its search with --resume"):
        evaluate_run(unfinished, None, build_recipe(GraphsRecipe, {"max_error": 1.0}))


def test_data_says_what_columns_hold(table, tmp_path, capsys):
    assert main(["data", str(table), "--task", "graphs", "--json"]) == 0
    columns = json.loads(capsys.readouterr().out)["figures"]["columns"]
    assert [(column["name"], column["kind"], column["empty"]) for column in columns] == [
        ("a", "number", 0),
        ("colour", "category", 0),
        ("y", "number", 0),
    ]


def test_data_refuses_empty_cells_on_request(tmp_path, capsys):
    (tmp_path / "t.csv").write_text("a,y\n1,2\n,3\n")
    assert main(["data", str(tmp_path / "t.csv"), "--task", "graphs", "--strict"]) == 2
    assert "columns with empty or odd cells, names, or nothing usable: a" in capsys.readouterr().err


def test_data_tells_tables_and_questions_without_a_task(table, tmp_path, capsys):
    assert main(["data", str(table)]) == 0
    assert "60 rows and 3 columns" in capsys.readouterr().out
    (tmp_path / "q.csv").write_text("context;question;answers\na b;a?;a\n")
    (tmp_path / "q.json").write_text("{}")
    (tmp_path / "photos").mkdir()
    tasks = [task_of(str(tmp_path / name)) for name in ("q.csv", "q.json", "photos", "p.tar")]
    assert tasks == ["reading", "reading", "classify", "classify"]
    assert task_of(str(tmp_path)) == "classify"  # it has folders, as photographs by class do


def test_data_prints_one_flag_for_all_columns_that_cannot_be_used(tmp_path, capsys):
    rows = "".join(f"n{n},{n % 28 + 1}/1/24,{n}\n" for n in range(60))
    (tmp_path / "t.csv").write_text("first name,when,y\n" + rows)
    assert main(["data", str(tmp_path / "t.csv")]) == 0
    assert "To leave out what cannot be used: --table.ignore 'first name,when'" in capsys.readouterr().out


def test_lists_of_names_are_texts_whatever_yaml_makes_of_them():
    def options(*words):
        return parse_training(verb_parser("train", ""), ["graphs", "--data", "t.csv", *words])["recipe"].table

    assert options("--table.ignore", "no,2019").ignore == ("no", "2019")
    assert options("--table.ignore=[yes, null]").ignore == ("yes", "null")
    assert options("--table.categories", '["a, b", "1e3"]').categories == ("a, b", "1e3")
    assert options("--table.missing-words", "?,NA").missing_words == ("?", "NA")
    assert options("--table.ignore", "").ignore == ()


def test_columns_with_the_names_of_yaml_values_are_left_out(tmp_path):
    (tmp_path / "t.csv").write_text("no,2019,a: b,y\n" + "".join(f"{n},{n},{n},{n}\n" for n in range(20)))
    words = ["graphs", "--data", str(tmp_path / "t.csv"), "--table.ignore", "no,2019"]
    recipe = parse_training(verb_parser("train", ""), words)["recipe"]
    again = build_recipe(GraphsRecipe, yaml.safe_load(recipe_text(recipe)))
    assert [column.name for column in prepare(again).encoding.columns] == ["a: b"]


def test_one_row_that_training_never_saw_is_left_empty_or_refused(run, tmp_path, capsys):
    (tmp_path / "new.csv").write_text("a;colour;other\n1,5;red;x\n2,5;blue;y\n")
    assert main(["predict", str(run.path), str(tmp_path / "new.csv"), "-o", str(tmp_path)]) == 0
    assert "'blue' in line 3, which training never saw: it knows 'green', 'red'" in capsys.readouterr().out
    head, first, second = (tmp_path / "new_predicted.csv").read_text().splitlines()
    assert (head, second) == ("a;colour;other;predicted y", "2,5;blue;y;")
    assert float(first.rsplit(";", 1)[1].replace(",", ".")) == pytest.approx(8, abs=3)
    words = ["predict", str(run.path), str(tmp_path / "new.csv"), "-o", str(tmp_path), "--unseen", "refuse"]
    assert main(words) == 1
    assert "which training never saw" in capsys.readouterr().err


def test_one_restart_is_told_in_the_singular(run):
    recipe = build_recipe(GraphsRecipe, {"search": {"rounds": 2, "restarts": 1}, "max_complexity": 1})
    assert recipe.facts()["Search"] == "1 restart of 2 rounds"
    assert recipe.facts()["Bound"] == "at most 1 parameter"


def test_folder_is_free_again_after_data_that_cannot_be_used(tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["train", "graphs", "--data", str(tmp_path / "no.csv"), "--out", str(out)]) == 2
    assert "no.csv does not exist" in capsys.readouterr().err
    assert not out.exists()


def test_data_takes_the_marks_and_the_encoding_of_a_table(tmp_path, capsys):
    (tmp_path / "t.csv").write_text("größe|y\n1,5|2\n2,5|3\n", encoding="cp1252")
    assert main(["data", str(tmp_path / "t.csv")]) == 2
    assert "--encoding cp1252 (in a training --table.encoding)" in capsys.readouterr().err
    told = ["--separator", "|", "--decimal", ",", "--encoding", "cp1252"]
    assert main(["data", str(tmp_path / "t.csv"), *told]) == 0
    shown = capsys.readouterr().out
    assert "größe" in shown
    assert "1.5 to 2.5" in shown
    assert main(["data", str(tmp_path), "--task", "classify", "--decimal", ","]) == 2
    assert "--decimal is an option of --task graphs alone, not of classify" in capsys.readouterr().err


def test_one_table_is_written_to_the_file_that_is_named(run, tmp_path, capsys):
    (tmp_path / "new.csv").write_text("a;colour\n1,5;red\n")
    command = ["predict", str(run.path), str(tmp_path / "new.csv"), "-o"]
    assert main([*command, str(tmp_path / "found.csv")]) == 0
    assert f"written: {tmp_path / 'found.csv'}" in capsys.readouterr().out
    assert (tmp_path / "found.csv").read_text().startswith("a;colour;predicted y\n")
    for name, reason in {
        "x.parquet": "none of .csv",
        "x.csv.gz": "none of .csv",
        "new.csv": "the place of the input",
    }.items():
        assert main([*command, str(tmp_path / name)]) == 2
        assert reason in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == []
