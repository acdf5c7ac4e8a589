"""nvmath-python and cudnn-frontend as installed: what is used of them exists, and the stand-ins agree.

Their wheels load without a GPU, and without the libraries that they are bindings of.
"""

import enum
import re

import cudnn
import numpy as np
import pytest
from nvmath.bindings import cublasLt

from tests.support.cuda import fake_cublaslt, fake_cudnn

ENUMS = ("Epilogue", "MatmulDescAttribute", "MatmulPreferenceAttribute")
FUNCTIONS = (
    "create", "matmul", "matmul_algo_get_heuristic", "matmul_desc_create", "matmul_desc_set_attribute",
    "matmul_preference_create", "matmul_preference_set_attribute", "matrix_layout_create",
)  # fmt: skip


def arguments(function):
    """The names of a function's arguments, from its signature or the first line of its docstring."""
    if hasattr(function, "__code__"):
        code = function.__code__
        return [*code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]]
    inside = re.search(r"\((.*)\)", function.__doc__.strip().splitlines()[0])[1]
    found = re.findall(r"(\w+)\s*(?::[^=]*?)?(?:=.*?)?(?:, |$)", re.sub(r"\[[^\[\]]*\]|<[^<>]*>", "", inside))
    return [name for name in found if name != "self"]


@pytest.mark.parametrize("name", ENUMS)
def test_names_and_numbers_of_cublaslt(name):
    ours, theirs = getattr(fake_cublaslt, name), getattr(cublasLt, name)
    assert issubclass(theirs, enum.IntEnum)
    assert {one.name: theirs[one.name].value for one in ours} == {one.name: one.value for one in ours}


def test_types_of_attributes():
    for ours in fake_cublaslt.MatmulDescAttribute:
        theirs = cublasLt.MatmulDescAttribute[ours.name]
        dtype = np.dtype(cublasLt.get_matmul_desc_attribute_dtype(theirs))
        assert dtype == fake_cublaslt.get_matmul_desc_attribute_dtype(ours), ours
    for ours in fake_cublaslt.MatmulPreferenceAttribute:
        theirs = cublasLt.MatmulPreferenceAttribute[ours.name]
        dtype = np.dtype(cublasLt.get_matmul_preference_attribute_dtype(theirs))
        assert dtype == fake_cublaslt.get_matmul_preference_attribute_dtype(ours), ours
    assert cublasLt.matmul_heuristic_result_dtype == fake_cublaslt.matmul_heuristic_result_dtype


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_cublaslt(name):
    signature = getattr(cublasLt, name).__doc__.strip().splitlines()[0]
    inside = re.search(r"\((.*?)\)", signature)[1]
    theirs = [argument.split()[-1] for argument in inside.split(", ") if argument]
    assert theirs == arguments(getattr(fake_cublaslt, name))


@pytest.mark.parametrize("name", ["data_type", "heur_mode", "diagonal_alignment"])
def test_names_of_cudnn(name):
    ours, theirs = getattr(fake_cudnn, name), getattr(cudnn, name)
    assert {one.name for one in ours} <= theirs.__members__.keys()


@pytest.mark.parametrize("name", ["sdpa", "sdpa_backward"])
def test_attention_of_cudnn_has_the_arguments_that_it_is_given(name):
    ours = set(arguments(getattr(fake_cudnn.pygraph, name))) - {"self"}
    signature = getattr(cudnn.pygraph, name).__doc__.strip().splitlines()[0]
    assert {f"{argument}:" for argument in ours} <= set(re.findall(r"\w+:", signature))


def test_graphs_and_tensors_of_cudnn():
    for ours, theirs in ((fake_cudnn.pygraph, cudnn.pygraph), (fake_cudnn.Tensor, cudnn.tensor)):
        methods = {name for name in vars(ours) if not name.startswith("_")} - {"at"}
        assert methods <= set(dir(theirs))
    signature = cudnn.pygraph.__init__.__doc__
    assert {"io_data_type:", "intermediate_data_type:", "compute_data_type:", "handle:"} <= set(
        re.findall(r"\w+:", signature)
    )
    assert set(arguments(fake_cudnn.pygraph.tensor)) - {"self"} <= set(arguments(cudnn.pygraph.tensor))
    assert set(arguments(fake_cudnn.pygraph.execute)) - {"self"} <= set(arguments(cudnn.pygraph.execute))
    assert issubclass(cudnn.cudnnGraphNotSupportedError, Exception)
    assert cudnn.__version__ == "1.26.0"
    assert callable(cudnn.set_stream)
    assert callable(cudnn.create_handle)
    assert "handle:" in cudnn.set_stream.__doc__
    assert "stream:" in cudnn.set_stream.__doc__
