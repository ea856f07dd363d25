"""What help(op) shows: composed from the record, with an example that the op has run itself."""

import dataclasses
import inspect
import pydoc
import subprocess
import sys

import numpy as np
import pytest

import microgrid as mg
from microgrid import documentation
from microgrid.ops import PUBLIC

OPS_THAT_USERS_CALL = sorted(name for name, value in PUBLIC.items() if isinstance(value, mg.Op))

LOG2 = """\
The logarithm to base 2.

Value: `ln x / ln 2`.

Args:
    x: float[...].

Returns:
    float[...].

Raises:
    DtypeError: an operand does not hold numbers.

>>> import microgrid as mg
>>> x = mg.tensor([1.0, 2.0, 3.0], requires_grad=True)
>>> y = log2(x)
>>> y
tensor([0.       , 1.       , 1.5849625], op=log2)
>>> y.sum().backward()
>>> x.grad
array([1.44269504, 0.72134752, 0.48089835])"""


@pytest.fixture(autouse=True)
def _no_op_outlives_its_test():
    before = set(mg.OPS)
    yield
    for name in set(mg.OPS) - before:
        del mg.OPS[name]


def declared(**fields):
    """Return an op of the user's: the logarithm to base 2, with some fields declared otherwise."""
    known = {
        "name": "log2",
        "doc": "The logarithm to base 2.",
        "formula": "ln x / ln 2",
        "kernel": np.log2,
        "vjps": (lambda g, y, x: g / (x * float(np.log(2))),),
        "domains": (mg.Domain(0.5, 9.0, include=(1.0,)),),
    }
    return mg.Op(**{**known, **fields})


def test_an_op_of_the_users_is_documented_from_its_record():
    assert inspect.getdoc(declared()) == LOG2


def test_the_class_is_documented_by_the_fields_of_the_record():
    doc = inspect.getdoc(mg.Op)
    missing = [field.name for field in dataclasses.fields(mg.Op) if f" {field.name}: " not in doc]
    assert missing == ["arity", "has_gradient", "constants", "varying"]  # what is not given


def test_a_docstring_with_an_example_is_left_as_it_is():
    doc = "Of base 2.\n\n>>> 1 + 1\n2"
    assert declared(doc=doc).__doc__ == doc


def refuses(x, out=None):
    raise RuntimeError("not today")


def test_an_op_that_refuses_the_numbers_shows_its_words_and_shapes():
    doc = declared(kernel=refuses).__doc__
    assert doc.startswith("The logarithm to base 2.\n\nValue: `ln x / ln 2`.\n\nArgs:\n    x: ")
    assert ">>>" not in doc


def fails(*shapes):
    raise RuntimeError("not today")


@pytest.mark.parametrize("field", ["params", "pieces"])
def test_an_op_whose_record_fails_shows_its_words(field):
    op = declared()
    object.__setattr__(op, field, fails)
    assert op.__doc__ == "The logarithm to base 2.\n\nValue: `ln x / ln 2`."


def test_an_op_without_legal_parameters_for_a_vector_is_called_with_none():
    assert ">>> y = log2(x)\n" in declared(params=lambda shape: []).__doc__


def test_an_op_of_any_number_of_operands_shows_its_words():
    rule = mg.EachInput(lambda wanted, g, y, *inputs: [g if place else None for place in wanted])
    total = declared(vjps=rule, domains=(mg.Domain(),), kernel=lambda *xs, out=None: sum(xs))
    assert total.__doc__ == "The logarithm to base 2."


@pytest.mark.parametrize(
    ("signature", "error"),
    [
        ("(n,k),(k,m)->(n,m)", "the shapes do not fit (n,k),(k,m)->(n,m)."),
        ("(),()->()", "the shapes do not broadcast together."),
        ("(...),(...)->()", "the shapes do not fit together."),
    ],
)
def test_what_is_raised_for_shapes_follows_from_the_signature(signature, error):
    op = declared(
        signature=signature, vjps=(lambda g, y, a, b: g, None), domains=(mg.Domain(),) * 2
    )
    assert f"    ShapeError: {error}" in op.__doc__.splitlines()


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("matmul", "    a: any[..., n?, k]."),
        ("where", "    condition: bool[...]."),
        ("exp", "    x: float[...]."),
        ("add", "    a: any[...]."),
    ],
)
def test_operands_have_their_dtypes_and_shapes(name, line):
    assert line in getattr(mg, name).__doc__.splitlines()


def test_parameters_are_named_with_the_errors_that_they_bring():
    doc = declared(
        kernel=lambda x, out=None, *, base: np.log(x) / np.log(base),
        vjps=(lambda g, y, x, base: g / (x * float(np.log(base))),),
        params=lambda shape: [{"base": 2.0}],
    ).__doc__
    assert "    x: float[...].\n    base: a parameter, as 2.0.\n" in doc
    assert "    TypeError: a parameter is missing, or not known.\n" in doc
    assert ">>> y = log2(x, base=2.0)\n" in doc


def test_an_op_of_whole_numbers_that_gives_truth_values_says_so():
    assert "Returns:\n    bool[...]." in mg.less.__doc__


@pytest.mark.parametrize("name", OPS_THAT_USERS_CALL)
def test_every_op_shows_an_example_that_calls_it_by_its_public_name(name):
    assert f"mg.{name}(" in getattr(mg, name).__doc__


def test_the_examples_of_bent_ops_go_through_all_kinks():
    bent = [op for op in mg.OPS.values() if op.pieces is not None]
    assert len(bent) > 5
    for op in bent:
        knots = op.pieces(**op.params((3,))[0]).knots
        (numbers,) = documentation.operands(op)
        assert set(map(float, knots)) < set(numbers), op.name


def test_help_shows_the_example():
    assert ">>> y = mg.relu(x)" in pydoc.render_doc(mg.relu)


def test_a_method_has_the_words_and_names_the_function():
    doc = mg.Tensor.relu.__doc__
    assert doc.startswith(mg.relu.doc)
    assert doc.endswith("The function `mg.relu` is the same.")


def test_no_example_is_run_by_the_import():
    code = (
        "import sys\n"
        "ran = set()\n"
        "sys.setprofile(lambda frame, event, argument: ran.add(frame.f_code.co_name))\n"
        "import microgrid as mg\n"
        "assert 'example' not in ran, 'the import'\n"
        "mg.relu.__doc__\n"
        "assert 'example' in ran, 'the docstring'\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
