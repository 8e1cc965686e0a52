from modicum.graphs.bench import random_graph


def test_quick_benchmark_measures_evaluation_fitting_memory_and_search(quick_rows):
    names = [row.name for row in quick_rows("graphs")]
    for words in ("by levels, times as fast", "a step of Levenberg-Marquardt", "memory of a fit", "the default search"):
        assert any(words in name for name in names), words


def test_random_graph_has_the_connections_that_were_asked_for():
    graph = random_graph(1000)
    assert graph.num_edges == 1000
    assert graph.canonical().num_edges == 1000
