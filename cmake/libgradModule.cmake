# libgrad_add_module(name source...) builds a Python extension that uses <libgrad/python.h>
# and shares torch's copy of pybind11, hence torch's exceptions and classes.
function(libgrad_add_module name)
  if(NOT COMMAND Python_add_library)
    message(FATAL_ERROR "libgrad_add_module(${name}): Python was not found; call "
      "find_package(libgrad COMPONENTS python) first, or, where libgrad is a subdirectory, "
      "find_package(Python COMPONENTS Interpreter Development.Module)")
  endif()
  Python_add_library(${name} MODULE WITH_SOABI ${ARGN})
  target_link_libraries(${name} PRIVATE libgrad::python)
  set_target_properties(${name} PROPERTIES
    CXX_VISIBILITY_PRESET hidden
    VISIBILITY_INLINES_HIDDEN ON)
endfunction()
