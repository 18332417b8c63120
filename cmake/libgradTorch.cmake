# Targets for one torch, taken by path:
#   libgrad::torch         LibTorch, C++ only
#   libgrad::torch_python  and what a Python extension needs on top
#
# find_package(Torch) is not used: beside a CUDA wheel it stops unless a whole CUDA
# toolkit is installed, and in an isolated build it may find another torch than the
# one the build was given.
#
# Which torch: LIBGRAD_TORCH_DIR (a CMake variable); the path in LIBGRAD_TORCH (an environment
# variable); the neighbour of an installed libgrad; the one that Python imports.
set(libgrad_OLDEST_TORCH 2.11) # build_support/torch_found.py reads these, too
set(libgrad_NEWEST_TORCH 2.15)
include("${CMAKE_CURRENT_LIST_DIR}/libgradSaved.cmake")
if(TARGET libgrad::torch)
  return()
endif()

# Sets `out` to the torch at `path`: a torch package, LibTorch, a site-packages, an environment.
function(_libgrad_torch_at path out)
  file(TO_CMAKE_PATH "${path}" path)
  set(inner share/cmake/Torch/TorchConfigVersion.cmake)
  file(GLOB found "${path}/${inner}" "${path}/torch/${inner}"
    "${path}/lib/python*/site-packages/torch/${inner}" "${path}/Lib/site-packages/torch/${inner}")
  if(NOT found)
    message(FATAL_ERROR "libgrad: LIBGRAD_TORCH is '${path}', where no torch is. It must be the path "
      "of a torch package, of a LibTorch, of a site-packages that has one, or of an environment.")
  endif()
  list(GET found 0 dir)
  string(REPLACE "/${inner}" "" dir "${dir}")
  set(${out} "${dir}" PARENT_SCOPE)
endfunction()

# Sets `out` to the directory that holds torch's include/ and lib/, or to "".
function(_libgrad_find_torch out)
  set(LIBGRAD_TORCH_DIR "" CACHE PATH "torch package or LibTorch archive (holds include/, lib/)")
  set(dir "${LIBGRAD_TORCH_DIR}")
  if(NOT dir AND NOT "$ENV{LIBGRAD_TORCH}" MATCHES "^([0-9]+\\.[0-9]+)?$")
    _libgrad_torch_at("$ENV{LIBGRAD_TORCH}" dir)
  endif()
  if(NOT dir AND libgrad_TORCH_HINT AND EXISTS "${libgrad_TORCH_HINT}/include/ATen/ATen.h")
    set(dir "${libgrad_TORCH_HINT}")
  endif()
  if(NOT dir AND NOT Python_EXECUTABLE) # C++ only: LibTorch on CMAKE_PREFIX_PATH
    find_path(libgrad_ATEN_INCLUDE ATen/ATen.h)
    mark_as_advanced(libgrad_ATEN_INCLUDE)
    if(libgrad_ATEN_INCLUDE)
      get_filename_component(dir "${libgrad_ATEN_INCLUDE}" DIRECTORY)
    else()
      find_package(Python QUIET COMPONENTS Interpreter)
    endif()
  endif()
  if(NOT dir AND Python_EXECUTABLE) # the torch that this Python imports
    execute_process(
      COMMAND "${Python_EXECUTABLE}" -c
        "from importlib.util import find_spec as f; s = f('torch'); print(s.submodule_search_locations[0] if s else '')"
      OUTPUT_VARIABLE dir
      OUTPUT_STRIP_TRAILING_WHITESPACE)
  endif()
  get_filename_component(dir "${dir}" REALPATH)
  set(${out} "${dir}" PARENT_SCOPE)
endfunction()

_libgrad_find_torch(libgrad_TORCH_DIR)
set(_libgrad_version_file "${libgrad_TORCH_DIR}/share/cmake/Torch/TorchConfigVersion.cmake")
if(NOT EXISTS "${_libgrad_version_file}")
  message(FATAL_ERROR "libgrad: no torch found. Install one with `pip install "
    "'torch==${libgrad_NEWEST_TORCH}.*'` for the Python that CMake uses (Python_EXECUTABLE is "
    "'${Python_EXECUTABLE}'), or set LIBGRAD_TORCH_DIR to a LibTorch directory.")
endif()
file(STRINGS "${_libgrad_version_file}" _libgrad_version_line REGEX "^set\\(PACKAGE_VERSION ")
string(REGEX MATCH "([0-9]+\\.[0-9]+)(\\.[0-9]+)?" libgrad_TORCH_VERSION "${_libgrad_version_line}")
set(libgrad_TORCH_MINOR "${CMAKE_MATCH_1}")
if(libgrad_TORCH_VERSION VERSION_LESS libgrad_OLDEST_TORCH)
  message(FATAL_ERROR "libgrad: torch ${libgrad_TORCH_VERSION} at ${libgrad_TORCH_DIR} is too old; "
    "${libgrad_OLDEST_TORCH} to ${libgrad_NEWEST_TORCH} are supported. Run "
    "`pip install 'torch==${libgrad_NEWEST_TORCH}.*'`.")
endif()
if("$ENV{LIBGRAD_TORCH}" MATCHES "^[0-9]+\\.[0-9]+$" AND
    NOT "$ENV{LIBGRAD_TORCH}" STREQUAL libgrad_TORCH_MINOR)
  message(FATAL_ERROR "libgrad: LIBGRAD_TORCH is $ENV{LIBGRAD_TORCH}, but the torch that was found "
    "is ${libgrad_TORCH_VERSION}, at ${libgrad_TORCH_DIR}. Set LIBGRAD_TORCH to the path of the "
    "torch that is meant, or unset it.")
endif()
if(libgrad_TORCH_MINOR VERSION_GREATER libgrad_NEWEST_TORCH)
  message(WARNING "libgrad: torch ${libgrad_TORCH_VERSION} is newer than the "
    "${libgrad_OLDEST_TORCH} to ${libgrad_NEWEST_TORCH} that libgrad knows; it may not compile.")
endif()
message(STATUS "libgrad: torch ${libgrad_TORCH_VERSION} at ${libgrad_TORCH_DIR}")

foreach(_lib c10 torch_cpu torch_python)
  set(_file "${libgrad_TORCH_DIR}/lib/lib${_lib}${CMAKE_SHARED_LIBRARY_SUFFIX}")
  if(EXISTS "${_file}")
    add_library(libgrad::lib_${_lib} SHARED IMPORTED GLOBAL)
    set_target_properties(libgrad::lib_${_lib} PROPERTIES IMPORTED_LOCATION "${_file}")
  endif()
endforeach()

add_library(libgrad::torch INTERFACE IMPORTED GLOBAL)
target_compile_features(libgrad::torch INTERFACE cxx_std_20)
target_include_directories(libgrad::torch SYSTEM INTERFACE
  "${libgrad_TORCH_DIR}/include"
  "${libgrad_TORCH_DIR}/include/torch/csrc/api/include")
target_link_libraries(libgrad::torch INTERFACE libgrad::lib_torch_cpu libgrad::lib_c10)
if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
  # libtorch.so has no symbols of its own: it loads libtorch_cuda.so, which registers the
  # CUDA kernels. Programs need that; in a Python extension `import torch` has done it.
  target_link_options(libgrad::torch INTERFACE
    "$<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>:LINKER:--push-state,--no-as-needed,${libgrad_TORCH_DIR}/lib/libtorch.so,--pop-state>")
endif()

if(TARGET libgrad::lib_torch_python)
  add_library(libgrad::torch_python INTERFACE IMPORTED GLOBAL)
  target_link_libraries(libgrad::torch_python INTERFACE libgrad::lib_torch_python libgrad::torch)
endif()
