import copy
import pickle
import threading

from modicum.adaptive.per_call import PerCall


def test_a_value_holds_for_the_call_alone_even_where_it_fails():
    value = PerCall("outside")
    try:
        with value.holding("outer"), value.holding("inner"):
            assert value.value == "inner"
            raise KeyError
    except KeyError:
        assert value.value == "outside"


def test_another_thread_does_not_see_the_value():
    value, seen = PerCall(0), []
    with value.holding(1):
        thread = threading.Thread(target=lambda: seen.append(value.value))
        thread.start()
        thread.join()
        assert (value.value, seen) == (1, [0])


def test_a_copy_is_outside_the_call_and_independent():
    value = PerCall(0)
    with value.holding(1):
        for twin in (copy.deepcopy(value), pickle.loads(pickle.dumps(value))):
            assert twin.value == 0
            with twin.holding(2):
                assert value.value == 1
